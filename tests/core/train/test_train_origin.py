"""What a run keeps of where it came from."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from lfads_core import __version__
from lfads_core.config.load import resolve
from lfads_core.plugins import load_registry


def test_a_run_keeps_the_versions_it_was_made_with_and_all_its_settings(train_tiny):
    run = train_tiny("optim.lr=0.0123", "train.epochs=1").run
    state = run.read_state()
    assert state["versions"]["lfads-core"] == __version__
    assert state["versions"]["lfads-plugins-std"] == version("lfads-plugins-std")
    assert state["versions"]["torch"] == torch.__version__
    assert [Path(path).name for path in state["data"]] == ["tiny.h5"]
    config = resolve([run.config_path], [], [], load_registry())
    assert config.optim.lr == 0.0123
    assert config.model.generator.factors == 3
    assert set(run.config_path.read_text(encoding="utf-8").splitlines()) >= {"optim:", "regularisation:", "model:", "train:"}
