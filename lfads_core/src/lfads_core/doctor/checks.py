"""The checks of ``lfads doctor``, each a function from nothing, or from the folder of runs, to what it found."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from attrs import frozen

from lfads_core.errors import LfadsError

EXTRAS = {
    "matplotlib": ("plot", "figures"),
    "mlflow": ("track", "runs in MLflow"),
    "ray": ("tune", "searches on Ray"),
}
LEAST_FREE_GB = 5.0
_GB = 1e9


@frozen(kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and for a ``warn`` or ``fail`` what to do."""

    what: str
    status: Literal["ok", "warn", "fail"]
    text: str
    remedy: str = ""


def versions() -> Iterator[Finding]:
    """Python and the packages that matter."""
    yield Finding(what="python", status="ok", text=f"{platform.python_version()} ({sys.executable})")
    for name in ("lfads-core", "torch", "numpy", "h5py"):
        try:
            yield Finding(what=name, status="ok", text=version(name))
        except PackageNotFoundError:
            yield Finding(what=name, status="fail", text="is not installed", remedy=f"pip install {name}")


def plugins() -> Iterator[Finding]:
    """Every plugin package, and what is wrong with it."""
    from lfads_core.plugins import load_registry

    registry = load_registry()
    for provider in registry.providers:
        yield Finding(what="plugins", status="ok", text=f"{provider.distribution} {provider.version}")
    for fault in registry.faults:
        yield Finding(what="plugins", status="warn", text=str(fault), remedy="lfads plugins list")
    if not registry.entries:
        yield Finding(
            what="plugins", status="fail", text="no component is installed, so nothing can be trained", remedy="pip install lfads-plugins-std"
        )


def devices() -> Iterator[Finding]:
    """Where torch can compute."""
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            text = f"{torch.cuda.get_device_name(index)}, {free / _GB:.1f} of {total / _GB:.1f} GB free"
            yield Finding(
                what=f"cuda:{index}", status="ok" if free > total / 4 else "warn", text=text, remedy="" if free > total / 4 else "end what uses it"
            )
    else:
        yield Finding(what="cuda", status="ok", text="none; training takes the CPU")
    if torch.backends.mps.is_available():
        yield Finding(what="mps", status="ok", text="there; train.device=mps takes it, auto does not, for the CPU is faster at small steps")


def threads() -> Iterator[Finding]:
    """Cores, what keeps them busy, and limits on threads."""
    from lfads_core.train.threads import cores as usable_cores

    cores = usable_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > 0.75 * cores
    text = f"{cores} cores for this process, load {load:.1f}"
    yield Finding(what="processor", status="warn" if busy else "ok", text=text, remedy="other programs will slow training down" if busy else "")
    if limit := os.environ.get("OMP_NUM_THREADS"):
        yield Finding(what="threads", status="ok", text=f"OMP_NUM_THREADS={limit}; train.threads sets its own number")


def loops() -> Iterator[Finding]:
    """Compiler, compiled loops, and which loops `auto` would take."""
    from lfads_core.recurrence.choose import choose_recurrence, obstacle
    from lfads_core.train.device import choose_device

    compiler = next((found for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name and (found := shutil.which(name))), None)
    clause = obstacle("compiled", "cpu")
    if clause is None:
        yield Finding(what="compiled loops", status="ok", text="there and usable")
    elif compiler is None:
        yield Finding(
            what="compiled loops", status="warn", text="not made, and there is no C compiler", remedy="install gcc or clang, then `lfads compile`"
        )
    else:
        yield Finding(what="compiled loops", status="warn", text=f"not used: {clause}", remedy="lfads compile")
    device = choose_device("auto")
    yield Finding(what="recurrence", status="ok", text=f"auto takes {choose_recurrence('auto', device).name} on {device}")


def extras() -> Iterator[Finding]:
    """Packages that are asked for on use only."""
    for module, (extra, gives) in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(what=module, status="warn", text=f"is not installed: no {gives}", remedy=f'pip install "lfads-core[{extra}]"')
        else:
            yield Finding(what=module, status="ok", text=f"{version(module)}: {gives}")


def disk(runs: Path) -> Iterator[Finding]:
    """Room and the right to write where runs go."""
    folder = next(place for place in (runs.resolve(), *runs.resolve().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free / _GB
    little = free < LEAST_FREE_GB
    yield Finding(what="disk", status="warn" if little else "ok", text=f"{free:.1f} GB free at {folder}", remedy="make room" if little else "")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        yield Finding(what="disk", status="fail", text=f"{folder} cannot be written ({err.strerror})", remedy="give another folder with --runs")


def store(runs: Path) -> Iterator[Finding]:
    """Whether MLflow's store can be reached, if MLflow is there."""
    if importlib.util.find_spec("mlflow") is None:
        return
    from lfads_core.track.store import URI_VARIABLE, Store, StoreError

    if uri := os.environ.get(URI_VARIABLE):
        yield _reached(uri)
        return
    here = Store(runs.resolve())
    if not here.exists:
        yield Finding(what="mlflow store", status="ok", text=f"none at {here.folder} yet; the first run makes it")
        return
    try:
        here.check(1.0)
    except StoreError as err:
        yield Finding(what="mlflow store", status="warn", text=str(err), remedy="runs go on without; `track.mlflow=false` leaves it out")
    else:
        yield Finding(what="mlflow store", status="ok", text=str(here.database))


def _reached(uri: str) -> Finding:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return Finding(what="mlflow store", status="ok", text=uri)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), timeout=3):
            return Finding(what="mlflow store", status="ok", text=f"{uri} answers")
    except OSError as err:
        text = f"{uri} does not answer ({err.strerror or err})"
        return Finding(what="mlflow store", status="warn", text=text, remedy="start the server, or unset MLFLOW_TRACKING_URI")


def examine(runs: Path) -> list[Finding]:
    """Every check; one that fails itself is a line too."""
    checks: Sequence[Callable[[], Iterator[Finding]]] = (
        versions,
        plugins,
        devices,
        threads,
        loops,
        extras,
        lambda: disk(runs),
        lambda: store(runs),
    )
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except (LfadsError, OSError, ImportError, RuntimeError) as err:
            name = getattr(check, "__name__", "check").strip("<>")
            found.append(Finding(what=name, status="fail", text=f"could not be looked at: {type(err).__name__}: {err}", remedy="mend this first"))
    return found
