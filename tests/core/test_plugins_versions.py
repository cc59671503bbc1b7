"""Versions that are kept with a run."""

from __future__ import annotations

import platform

import h5py
import numpy as np

import lfads_core
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.versions import versions

SOURCE = """
from lfads_core.plugins import NoSettings, PriorSpec, hookimpl


@hookimpl
def lfads_priors():
    yield PriorSpec(name="tent", summary="a prior", config=NoSettings, build=print)
"""


def test_they_are_those_of_python_the_libraries_and_every_distribution_with_a_plugin(install):
    install("old-tents", SOURCE, version="1.2")
    found = versions(Registry.from_installed())
    assert found.pop("torch")
    assert found == {
        "python": platform.python_version(),
        "h5py": h5py.__version__,
        "lfads-core": lfads_core.__version__,
        "numpy": np.__version__,
        "old-tents": "1.2",
    }


def test_a_plugin_that_is_not_installed_has_no_version():
    assert set(versions(Registry.from_plugins({"mine.py": object()}))) == {"python", "torch", "numpy", "h5py", "lfads-core"}
