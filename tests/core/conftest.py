"""Fixtures for the tests of the core package."""

from __future__ import annotations

import importlib
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path

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
