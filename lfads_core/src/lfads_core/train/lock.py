"""One training per run folder at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lfads_core.errors import RunError

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing to lock with
    fcntl = None  # type: ignore[assignment]

_TRIES, _BETWEEN = 3, 0.05


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while the block runs; the system lets go of it when the process dies.

    Raises:
        RunError: another process trains in this folder.
    """
    try:
        file = (folder / ".lock").open("w")
    except OSError as err:
        raise RunError(f"{folder}: the run's folder must be writable, got: {err.strerror}. Give yourself the right to write there.") from err
    with file:
        if fcntl is not None:
            try:
                _lock(file)
            except BlockingIOError:
                raise RunError(
                    f"{folder}: one process may train in a run's folder, but another one does. Wait for it, or choose another --name."
                ) from None
            except OSError:  # a file system without locks: nothing to lock with
                pass
        yield


def _lock(file: IO[str]) -> None:
    """Take the lock; :func:`is_locked` may hold it for an instant."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(_BETWEEN)
        else:
            return


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock; False where nothing can be locked."""
    try:
        file = (folder / ".lock").open("r")
    except OSError:
        return False
    with file:
        if fcntl is None:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
    return False
