"""A space of one's own function is found in the folder one is in."""

from __future__ import annotations

import random
import sys

import pytest

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.spaces import drawing_function


def test_a_module_of_the_current_folder_is_found_and_the_path_is_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "my_draws_here.py").write_text("def draw(rng):\n    return rng.uniform(2, 3)\n")
    space = SpaceConfig(kind="function", function="my_draws_here:draw")
    before = list(sys.path)
    with pytest.raises(ConfigError, match="No module named 'my_draws_here'"):
        drawing_function(space)
    monkeypatch.chdir(tmp_path)
    assert 2 <= drawing_function(space)(random.Random(0)) <= 3
    assert sys.path == before
    del sys.modules["my_draws_here"]
