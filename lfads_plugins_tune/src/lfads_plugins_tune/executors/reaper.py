"""A small process beside a cluster of our own: when the driver is gone, however it went, nothing of the cluster stays.

Ray ends its own processes when the driver is killed, but some of them take a minute for it, and the folder of the session stays.
``python reaper.py FOLDER MARK`` waits for the end of its standard input, which the driver holds open; then it kills
every process that carries the mark in its environment, and removes the folder. It needs nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "LFADS_RAY_CLUSTER"
"""Environment variable that all processes of one cluster inherit."""

GRACE = 1.0
"""Seconds that processes have for ending by themselves."""


def marked(mark: str) -> list[int]:
    """Processes with this mark, as Linux tells; elsewhere none are found."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def sweep(mark: str) -> None:
    """Kill what carries the mark, and what that starts meanwhile."""
    end = time.monotonic() + GRACE
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    while left:
        for process in left:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
        left = marked(mark)


def main(folder: str, mark: str) -> None:
    """Wait for the driver's end, then clear up."""
    with suppress(OSError, KeyboardInterrupt):
        sys.stdin.buffer.read()
    sweep(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
