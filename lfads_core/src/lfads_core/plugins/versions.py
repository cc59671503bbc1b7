"""Versions of what trains a model."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

from lfads_core.plugins.registry import Registry


def versions(registry: Registry) -> dict[str, str]:
    """Versions of Python, torch and every plugin package, kept with the run."""
    wanted = {"torch", "numpy", "h5py", "lfads-core", *(p.distribution for p in registry.providers)}
    found = {str(d.name): d.version for d in distributions() if d.name in wanted}
    return {"python": platform.python_version(), **dict(sorted(found.items()))}
