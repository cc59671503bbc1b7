"""Jobs as processes of this machine, each a session of its own: neither a closed terminal nor the end of who began them touches them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from lfads_core.files import append_to
from lfads_core.locks import is_held
from lfads_plugins_tune.jobs.memory import end_family, used_memory

LOCK_VARIABLE = "LFADS_JOB_LOCK"
"""Number of the open file with which a job's lock is handed on, so that there is no moment without."""


@dataclass(kw_only=True)
class LocalJob:
    """A process that holds a lock as long as it lives; whoever begins to look after it later knows it by that."""

    pid: int
    lock: Path
    process: subprocess.Popen[bytes] | None = None  # None: begun by somebody else
    started: float = field(default_factory=time.time)
    gpu: str | None = None
    used: int = 0  # bytes, when it was last measured
    peak: int = 0
    over: bool = False  # whether it was ended because it used more than it may

    def code(self) -> int | None:
        """See :class:`~lfads_plugins_tune.jobs.running.Job`."""
        if self.process is not None:
            return self.process.poll()
        return None if is_held(self.lock) else 0

    def ask(self) -> None:
        """Send the wish to save and end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        """Kill it and everything it started."""
        end_family(self.pid)

    def measure(self) -> int:
        """Memory that it uses now."""
        self.used = used_memory(self.pid)
        self.peak = max(self.peak, self.used)
        return self.used


def begin(command: Sequence[str], lock: TextIO, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that takes a lock over which is held here; what it prints goes to a log."""
    number = lock.fileno()
    with append_to(log) as file:
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, LOCK_VARIABLE: str(number), **environment},
            start_new_session=True,
            pass_fds=[number],
        )
