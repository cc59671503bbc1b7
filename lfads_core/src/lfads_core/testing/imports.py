"""What importing a plugin's module loads: listing plugins must stay quick."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

from lfads_core.plugins.hookspecs import PROJECT
from lfads_core.plugins.loading import Provider
from lfads_core.processes import own_python
from lfads_core.testing.findings import LawFinding

HEAVY = ("torch", "scipy", "h5py", "ray", "mlflow", "matplotlib", "pandas", "sklearn")
LAW = "importing it loads nothing heavy"
_SECONDS = 60


def try_import(provider: Provider) -> LawFinding:
    """Import the module of an entry point in a process of its own, and say what else came with it."""
    module = _module(provider)
    code = f"import sys, json, importlib; importlib.import_module({module!r}); print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(own_python("-c", code), capture_output=True, text=True, check=False, env=environment, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return LawFinding(law=LAW, faults=(f"{module} must be imported at once, got no end within {_SECONDS} s",))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return LawFinding(law=LAW, faults=(f"{module} must be imported, got {last}",))
    loaded = json.loads(done.stdout.splitlines()[-1])
    faults = (f"{module} must not import {', '.join(loaded)}. Import them in the functions that use them",) if loaded else ()
    return LawFinding(law=LAW, faults=faults)


def _module(provider: Provider) -> str:
    for entry in importlib.metadata.entry_points(group=PROJECT, name=provider.entry_point):
        if entry.dist is not None and entry.dist.metadata["Name"] == provider.distribution:
            return entry.module
    return provider.entry_point
