"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lfads_core.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes the place of ``path``, on failure it is removed.

    The bytes reach the disk before the rename, and the rename before this returns, so that after a power cut too one whole
    version is there.

    Raises:
        RunError: the path is a folder's, without the name of a file.
    """
    if not path.name:
        raise RunError(f"{path}: a file to write must have a name, got a folder. Name the file.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # a link that somebody left there would lead the writing elsewhere
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def append_to(path: Path, *, by_line: bool = False) -> TextIO:
    """Open a text file to write at its end, made if need be; where a link stands in its place, nothing is followed.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
    return os.fdopen(handle, "a", buffering=1 if by_line else -1, encoding="utf-8", newline="")


@contextmanager
def spoken_failure(path: Path, kinds: tuple[type[Exception], ...] = (OSError, RuntimeError)) -> Iterator[None]:
    """Say in a sentence that ``path`` cannot be written: a full disk, no permission, a folder that went away.

    HDF5 reports some failed writes as RuntimeError; where other work goes on inside, only ``OSError`` should count.

    Raises:
        RunError: instead of what the system or HDF5 raised.
    """
    try:
        yield
    except kinds as err:
        number = getattr(err, "errno", None)
        why = os.strerror(number) if isinstance(number, int) else str(err).split("\n", maxsplit=1)[0]
        raise RunError(f"{path}: must be written in full, got: {why}. Make room or mend the folder; what was there before is untouched.") from err


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file.

    Raises:
        RunError: it cannot be written.
    """
    with spoken_failure(path), replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replace a text file.

    Raises:
        RunError: it cannot be written.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))  # names of files need not be UTF-8


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace a JSON file, keys in the order given.

    Raises:
        RunError: it cannot be written.
    """
    write_text(path, json.dumps(data, indent=2) + "\n")


def read_json(path: Path, what: str = "JSON written by lfads", mend: str = "Restore it.") -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RunError: there is none, or another thing; it says ``what`` must be there, and how to ``mend`` it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise RunError(f"{path}: must be {what}, got: {getattr(err, 'strerror', None) or err}. {mend}") from err
    if not isinstance(found, dict):
        raise RunError(f"{path}: must be {what}, an object, got {type(found).__name__}. {mend}")
    return found


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expanded(path: str | Path) -> Path:
    """With the user's folder for a leading ``~``; as it is where there is no such user, for files may be called so."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while writing have left of :func:`replacing`'s temporary files."""
    for left in folder.glob(".*.tmp"):
        writer = re.fullmatch(r".*\.(\d+)\.tmp", left.name)
        if writer is not None and not _is_running(int(writer[1])):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # 0 sends nothing, and asks only whether there is such a process
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return process != os.getpid()


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk; systems that cannot open folders (Windows) do without."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def written_by(given: object) -> list[Path]:
    """What a plugin says that it wrote, as paths.

    Raises:
        TypeError: it is no list of paths.
        ValueError: nothing is where it says.
    """
    if isinstance(given, str | Path) or not isinstance(given, Iterable):
        raise TypeError(f"must give a list of the paths that were written, got {given!r}")
    paths = [Path(path) for path in given]
    for path in paths:
        if not path.exists():
            raise ValueError(f"must give the paths that were written, but nothing is at {path}")
    return paths
