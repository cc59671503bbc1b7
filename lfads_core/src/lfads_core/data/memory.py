"""How much memory there is for data; the rest of a recording stays on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

SHARE = 0.5
"""Share of the memory that data may fill; the rest is for the model, its gradients and its outputs."""

SAMPLE_BYTES = 1 << 27
"""Size of the sample of trials that stands for a stored split wherever many trials are looked at together."""

UNSAID = 1 << 33
"""Bytes that are taken to be free where no system says."""


def room_for_data() -> int:
    """Bytes that data may fill in this process."""
    return int(SHARE * usable_memory())


def evenly(trials: int, wanted: int) -> Int[np.ndarray, " S"]:
    """``wanted`` of so many rows, evenly spaced, in order; all rows when there are no more."""
    return np.unique(np.linspace(0, trials - 1, min(wanted, trials)).round().astype(np.int64))


def usable_memory() -> int:
    """Bytes of memory that this process may fill: what is free, or less where the process or its container is limited."""
    found = [_free(), *_process_limits(), *_container_limits()]
    return min((value for value in found if value > 0), default=UNSAID)


def _free() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return max(1, next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return UNSAID  # Windows


def _process_limits() -> Iterator[int]:
    try:
        import resource
    except ImportError:
        return
    taken = _taken()
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield max(limit - taken, 1)


def _taken() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _container_limits() -> Iterator[int]:
    """Control groups, as containers and job schedulers use them: version 2, then 1; ours and every one above it."""
    for root, limit, used, key in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "0::"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", ":memory:"),
    ):
        for folder in _groups(Path(root), key):
            try:
                most = int((folder / limit).read_text(encoding="ascii"))
                cached = _reclaimable(folder)
                yield max(most - int((folder / used).read_text(encoding="ascii")) + cached, 1)
            except (OSError, ValueError):  # no such group, or "max"
                continue


def _groups(root: Path, key: str) -> Iterator[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        if key in line:
            inside = Path(line.rpartition(":")[2].lstrip("/"))
            yield from (root / part for part in (inside, *inside.parents))


def _reclaimable(folder: Path) -> int:
    """Files' pages, which count as used but are given back when memory is wanted."""
    lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split()[0] in ("inactive_file", "total_inactive_file"))
