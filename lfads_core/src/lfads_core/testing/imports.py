"""What importing a plugin's module loads: listing plugins must stay quick."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

from lfads_core.plugins.hookspecs import PROJECT
from lfads_core.plugins.loading import Provider
from lfads_core.plugins.remarks import SLOW
from lfads_core.processes import own_python
from lfads_core.testing.findings import LawFinding

HEAVY = ("torch", "scipy", "h5py", "ray", "mlflow", "matplotlib", "pandas", "sklearn")
LAWS = ("importing it loads nothing heavy", "importing it prints nothing", "importing it is quick")
_SECONDS = 60

_CODE = """
import contextlib, importlib, io, json, sys, time
import lfads_core.config.fields, lfads_core.plugins
out, start = io.StringIO(), time.perf_counter()
with contextlib.redirect_stdout(out):
    importlib.import_module(sys.argv[1])
seconds = time.perf_counter() - start
print(json.dumps({"heavy": [name for name in sys.argv[2:] if name in sys.modules], "said": out.getvalue(), "seconds": seconds}))
"""


def try_import(provider: Provider) -> list[LawFinding]:
    """Import the module of an entry point in a process of its own: what else came with it, what it printed, how long it took."""
    module = _module(provider)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        command = own_python("-c", _CODE, module, *HEAVY)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return _findings((f"{module} must be imported at once, got no end within {_SECONDS} s",))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return _findings((f"{module} must be imported, got {last}",))
    found = json.loads(done.stdout.splitlines()[-1])
    heavy, said, seconds = found["heavy"], found["said"].strip(), found["seconds"]
    return _findings(
        (f"{module} must not import {', '.join(heavy)}. Import them in the functions that use them",) if heavy else (),
        (f"{module} must not print, got {said.splitlines()[0][:60]!r}",) if said else (),
        (f"{module} must be imported within {SLOW:g} s, got {seconds:.1f} s. Every command waits for it",) if seconds > SLOW and not heavy else (),
    )


def _findings(*faults: tuple[str, ...]) -> list[LawFinding]:
    tried = dict(zip(LAWS, faults, strict=False))
    return [LawFinding(law=law, faults=tried.get(law, ()), tried=law in tried) for law in LAWS]


def _module(provider: Provider) -> str:
    for entry in importlib.metadata.entry_points(group=PROJECT, name=provider.entry_point):
        if entry.dist is not None and entry.dist.metadata["Name"] == provider.distribution:
            return entry.module
    return provider.entry_point
