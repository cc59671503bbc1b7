"""How much memory processes use and how much is free; psutil is imported here alone."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that can still be used: of the machine, or of the container if that has less."""
    return min(int(psutil.virtual_memory().available), *_container())


def whole_memory() -> int:
    """Bytes that there are at all."""
    return min(int(psutil.virtual_memory().total), *(_number(_GROUP / "memory.max"),))


def used_memory(pid: int) -> int:
    """Resident bytes of a process and everything it started; 0 if it is gone. What they share counts for each."""
    total = 0
    for process in _family(pid):
        with contextlib.suppress(psutil.Error):
            total += int(process.memory_info().rss)
    return total


def end_family(pid: int) -> None:
    """Kill a process, its session and everything it started, at once."""
    family = _family(pid)  # before its head is gone, which is what ties them together
    with contextlib.suppress(OSError):
        if os.getsid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.Error:
        return []


def _container() -> tuple[int, ...]:
    """What a container's limit leaves, where there is one (cgroup version 2)."""
    limit, used = _number(_GROUP / "memory.max"), _number(_GROUP / "memory.current")
    if limit >= _UNLIMITED:
        return (_UNLIMITED,)
    try:
        lines = (line.split() for line in (_GROUP / "memory.stat").read_text(encoding="utf-8").splitlines())
        cached = {name: int(value) for name, value in lines}.get("inactive_file", 0)  # is given back when it is needed
    except (OSError, ValueError):
        cached = 0
    return (max(0, limit - used + cached),)


_UNLIMITED = 1 << 62


def _number(path: Path) -> int:
    """A number in a file; beyond all limits if it holds none."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _UNLIMITED
