"""Fixtures for the tests of the core package."""

from __future__ import annotations

import importlib
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path that plays site-packages; nothing that is really installed is loaded beside it."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("LFADS_PLUGINS", "")
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Put a distribution on disk as pip leaves it: a module, METADATA, entry_points.txt. It is added to LFADS_PLUGINS."""
    names: list[str] = []

    def put(name: str, source: str, *, version: str = "1.0", entry_points: str | None = None) -> str:
        """Return the name of the module, which is new each time: Python keeps modules."""
        module = f"{name.replace('-', '_')}_{uuid.uuid4().hex}"
        (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points or f"[lfads]\n{name} = {module}\n", encoding="utf-8")
        names.append(name)
        monkeypatch.setenv("LFADS_PLUGINS", ",".join(names))
        importlib.invalidate_caches()
        return module

    return put


@pytest.fixture
def write_recording(tmp_path: Path) -> Callable[..., Path]:
    """Write arrays by key to an HDF5 file; ``write_recording("a.h5", {"train_encod_data": ...}, bin_ms=5.0)`` returns its path."""

    def write(name: str, arrays: dict[str, Any], **attributes: Any) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                file.create_dataset(key, data=values)
            file.attrs.update(attributes)
        return path

    return write


@pytest.fixture
def counts() -> dict[str, np.ndarray]:
    """Arrays of a small, faultless recording: 12 + 10 trials, 5 bins, 3 channels of counts."""
    rng = np.random.default_rng(7)
    return {f"{split}_encod_data": rng.poisson(1.0, (trials, 5, 3)).astype(np.float32) for split, trials in (("train", 12), ("valid", 10))}
