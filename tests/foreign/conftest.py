"""The stranger's packages, installed for a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_site import Tiny, lfads, write_foo, write_site, write_tiny
from lfads_core.plugins import load_registry


@pytest.fixture(scope="session")
def foreign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that plays site-packages."""
    return write_site(tmp_path_factory.mktemp("foreign") / "site")


@pytest.fixture
def foreign_site(foreign_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The distributions are installed, beside all that really is; the test is in a folder of its own, where only they draw figures."""
    monkeypatch.syspath_prepend(foreign_folder)
    monkeypatch.delenv("LFADS_PLUGINS", raising=False)
    monkeypatch.setenv("LAB_JPCA_DIARY", str(tmp_path / "diary.jsonl"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lfads_core.infer.run._render", lambda spec, run: list(spec.render(run, run.plots)) if spec.name == "rotations" else [])
    monkeypatch.setattr("lfads_plugins_tune.figures.draw_search", lambda _: [])
    load_registry.cache_clear()
    yield foreign_folder
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in {"lab_jpca", "lab_planes", "lab_dynamics"}]:
        del sys.modules[name]


@pytest.fixture
def tiny(foreign_site: Path, tmp_path: Path) -> Tiny:
    """What a run needs."""
    return write_tiny(tmp_path)


@pytest.fixture
def foo(tmp_path: Path) -> Path:
    """A recording of the lab's rig."""
    return write_foo(tmp_path / "x.foo")


@pytest.fixture
def trained(tiny: Tiny, tmp_path: Path) -> Path:
    """A run that has finished."""
    lfads("run", tiny.data, tiny.yaml, "--name", "trained")
    return tmp_path / "runs/trained"
