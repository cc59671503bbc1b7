"""Core's checks of ``lfads doctor``, each a function from the folder of runs to what it found."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lfads_core.doctor.finding import Finding
from lfads_core.locks import is_locked
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DoctorCheckSpec
from lfads_core.runs import running

LEAST_FREE_GB = 5.0
_GB = 1e9


def versions(_runs: Path) -> Iterator[Finding]:
    """Python and the packages that matter."""
    yield Finding(what="python", status="ok", text=f"{platform.python_version()} ({sys.executable})")
    for name in ("lfads-core", "torch", "numpy", "h5py"):
        try:
            yield Finding(what=name, status="ok", text=version(name))
        except PackageNotFoundError:
            yield Finding(what=name, status="fail", text="is not installed", remedy=f"pip install {name}")


def plugins(_runs: Path) -> Iterator[Finding]:
    """Every plugin package, and what is wrong with it."""
    from lfads_core.plugins import load_registry

    registry = load_registry()
    for provider in registry.providers:
        yield Finding(what="plugins", status="ok", text=f"{provider.distribution} {provider.version}")
    for fault in registry.faults:
        yield Finding(what="plugins", status="warn", text=str(fault), remedy="lfads plugins list")
    if registry.bare:
        text = "no component is installed beside core's own, so nothing can be trained"
        yield Finding(what="plugins", status="fail", text=text, remedy="pip install lfads-plugins-std")


def devices(_runs: Path) -> Iterator[Finding]:
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


def threads(_runs: Path) -> Iterator[Finding]:
    """Cores, what keeps them busy, and limits on threads."""
    from lfads_core.train.device import cores as usable_cores

    cores = usable_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > 0.75 * cores
    text = f"{cores} cores for this process, load {load:.1f}"
    yield Finding(what="processor", status="warn" if busy else "ok", text=text, remedy="other programs will slow training down" if busy else "")
    if limit := os.environ.get("OMP_NUM_THREADS"):
        yield Finding(what="threads", status="ok", text=f"OMP_NUM_THREADS={limit}; train.threads sets its own number")


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


def claims(runs: Path) -> Iterator[Finding]:
    """Runs that say they run, and do not: killed, or their machine went down, or they could not write how they ended."""
    dead = [path for path in running(runs) if not is_locked(path)]
    for path in dead:
        text = f"{path} says that it is running, but no process of this machine holds it"
        yield Finding(what="runs", status="warn", text=text, remedy=f"lfads run --resume {shlex.quote(str(path))}")
    if not dead:
        yield Finding(what="runs", status="ok", text=f"every run in {runs} that says it is running does")


def loops(_runs: Path) -> Iterator[Finding]:
    """Which loops ``auto`` would take."""
    from lfads_core.recurrence.choose import choose_recurrence, obstacle
    from lfads_core.train.device import choose_device

    device = choose_device("auto")
    text, remedy = f"auto takes {choose_recurrence('auto', device).name} on {device}", ""
    if device == "cuda" and (clause := obstacle("triton", device)) is not None:
        text, remedy = f"{text}; triton cannot be used: {clause}", "mend that, for other loops are several times slower here"
    yield Finding(what="recurrence", status="warn" if remedy else "ok", text=text, remedy=remedy)


def _findings(given: Iterable[Finding]) -> list[Finding]:
    found = list(given)
    for finding in found:
        if not isinstance(finding, Finding):
            raise TypeError(f"a check must give findings of lfads_core.doctor.finding, got {type(finding).__name__}")
    return found


def examine(runs: Path, registry: Registry) -> list[Finding]:
    """Every check of ``lfads_doctor_checks``; one that fails itself is a line too."""
    found: list[Finding] = []
    for spec, provider in registry.as_offered(DoctorCheckSpec):
        try:
            found += _findings(spec.check(runs))
        except (Exception, SystemExit) as err:  # noqa: BLE001 - anything a stranger's check raises
            text = f"could not be looked at: {type(err).__name__}: {err}"
            found.append(Finding(what=spec.name, status="fail", text=text, remedy=f"mend {provider} first"))
    return found
