"""Locks that tell whether a process is at work; the system lets go of them when it dies, however it dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lfads_core.errors import RunError
from lfads_core.files import append_to

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing to lock with
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 1.0
"""Seconds to try for: who only asks whether a lock is held takes it for a moment too."""


class TakenError(RunError):
    """Somebody else holds the lock."""


class NoLocksError(RunError):
    """Locks are not to be had there."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder while the block runs; where there are no locks, nothing is held.

    Raises:
        RunError: another process trains in this folder, or it cannot be written.
    """
    try:
        file = taking(
            _lock_of(folder), f"{folder}: one process may train in a run's folder, but another one does. Wait for it, or choose another --name."
        )
    except NoLocksError:
        yield
        return
    with file:
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run's folder; False where nothing can be locked."""
    try:
        return is_held(_lock_of(folder))
    except RunError:
        return False


@contextmanager
def holding(path: Path, why: str, seconds: float = _PATIENCE) -> Iterator[None]:
    """Hold a lock while the block runs. Processes that it starts do not inherit it.

    Raises:
        TakenError: another process holds it for ``seconds``; ``why`` is the whole message.
        RunError: locks are not to be had there.
    """
    with taking(path, why, seconds):
        yield


def taking(path: Path, why: str, seconds: float = _PATIENCE) -> TextIO:
    """Take a lock, which is held until the file is closed here and in every process it was handed on to.

    Raises:
        TakenError, RunError: as :func:`holding`.
    """
    file = _opened(path)
    end = time.monotonic() + seconds
    try:
        while not _take(file, path, shared=False):
            if time.monotonic() > end:
                raise TakenError(why)
            time.sleep(0.02)
    except RunError:
        file.close()
        raise
    return file


def is_held(path: Path) -> bool:
    """Whether a process holds the lock now.

    Raises:
        RunError: locks are not to be had there.
    """
    if not path.exists():
        return False
    with _opened(path) as file:
        return not _take(file, path, shared=True)


def _lock_of(folder: Path) -> Path:
    return folder / ".lock"


def _opened(path: Path) -> TextIO:
    try:
        return append_to(path)
    except OSError as err:
        if path.is_symlink():
            raise RunError(f"{path}: a lock must be a file of its own, got a link. Remove it.") from err
        raise RunError(f"{path.parent}: must be writable, got: {err.strerror}. Give yourself the right to write there.") from err


def _take(file: TextIO, path: Path, *, shared: bool) -> bool:
    if fcntl is None:
        raise NoLocksError(f"{path}: needs a POSIX system with file locks, got one without. Start the runs one by one.")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as err:
        raise NoLocksError(f"{path}: the file system must have locks, got: {err.strerror}. Keep the folder on another one.") from err
    return True
