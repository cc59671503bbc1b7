"""Versions of what trains a model."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from lfads_core.plugins.registry import Registry


def versions(registry: Registry) -> dict[str, str]:
    """Versions of Python, torch and every plugin package, kept with the run; what is not installed has none."""
    found = {"python": platform.python_version()}
    for name in sorted({"torch", "numpy", "h5py", "lfads-core", *(p.distribution for p in registry.providers)}):
        try:  # by its name, which opens one file: listing all distributions reads the metadata of each, and takes as long as a small training
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, **{p.distribution: f"sha256 {p.version}" for p in registry.providers if not p.entry_point}}
