"""From what a user types (files, folders, patterns) to sessions with names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from lfads_core.data.hdf5 import SUFFIXES, read_hdf5, size_in_memory
from lfads_core.data.layout import rebuild_session
from lfads_core.data.memory import SAMPLE_BYTES
from lfads_core.data.session import Session
from lfads_core.errors import DataError, LfadsError
from lfads_core.files import expanded
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DataReaderSpec
from lfads_core.wording import first_few


def read_sessions(
    patterns: Sequence[str | Path],
    registry: Registry | None = None,
    *,
    dtype: DTypeLike = np.float32,
    required: Collection[str] = ("train", "valid"),
    room: int | None = None,
) -> list[Session]:
    """Read files, folders and patterns such as ``data/*.h5``, in the order of the sessions' names.

    HDF5 files that would fill more than ``room`` bytes together stay on disk, see :class:`Session`. With None everything is read, or
    refused where it is more than half of the memory that is free.

    A session is known by its file's name without the ending; characters other than letters, digits, ``_`` and ``-`` become ``_``.
    ``required`` names the splits that must be there; pass ``()`` to take a file with any one of them.

    Raises:
        DataError: Nothing is found, two files would have one name, or a file cannot be read.
    """
    readers = tuple(registry.all(DataReaderSpec)) if registry is not None else ()
    named = name_files(patterns, readers)
    on_disk = room is not None and sum(_size(path, readers, dtype) for path in named.values()) > room
    least = None if room is None else max(room, 16 * SAMPLE_BYTES)  # samples of stored trials, and what is no trials, must have a place
    return [read_session(named[name], readers, dtype=dtype, required=required, keep_on_disk=on_disk, room=least) for name in sorted(named)]


def name_files(patterns: Sequence[str | Path], readers: Iterable[DataReaderSpec] = ()) -> dict[str, Path]:
    """Find every file meant and give each its session's name, without reading any.

    Raises:
        DataError: Nothing is found, or two files would have one name.
    """
    named: dict[str, Path] = {}
    for path in find_files(patterns, readers):
        name = session_name(path)
        if name in named:
            raise DataError(f"{path}: every session must have a name of its own, but {named[name]} is called '{name}' too. Rename one of the files.")
        named[name] = path
    return named


def read_session(
    path: Path,
    readers: Iterable[DataReaderSpec] = (),
    *,
    dtype: DTypeLike = np.float32,
    required: Collection[str] = ("train", "valid"),
    keep_on_disk: bool = False,
    room: int | None = None,
) -> Session:
    """Read one file with the first reader that takes it, else as HDF5, which alone can keep trials on disk."""
    reader = _reader_for(path, readers)
    if reader is None:
        return read_hdf5(path, name=session_name(path), dtype=dtype, required=required, keep_on_disk=keep_on_disk, room=room)
    try:
        session = reader.read(path)
    except LfadsError:
        raise
    except Exception as err:
        raise DataError(
            f"{path}: the reader '{reader.name}' must return a session, but failed with {type(err).__name__}: {err}. Mend the file or the plugin."
        ) from err
    return rebuild_session(session, name=session_name(path), path=path, dtype=dtype, required=required)


def _size(path: Path, readers: Iterable[DataReaderSpec], dtype: DTypeLike) -> int:
    """Bytes that an HDF5 file would fill; what plugins read counts nothing, for it is read whole anyway."""
    return size_in_memory(path, dtype) if _reader_for(path, readers) is None else 0


def session_name(path: Path) -> str:
    """Name of the session in a file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem)


def find_files(patterns: Sequence[str | Path], readers: Iterable[DataReaderSpec] = ()) -> list[Path]:
    """Return every file meant, each once, in the order given.

    Raises:
        DataError: A file is not there, or a folder or pattern has no file to read.
    """
    readers = tuple(readers)
    if not patterns:
        raise DataError("no data: must be given at least one file, folder or pattern, got none. Name a recording, such as data.h5.")
    found: dict[Path, Path] = {}
    for pattern in patterns:
        for path in _expand(expanded(pattern), readers):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _expand(pattern: Path, readers: tuple[DataReaderSpec, ...]) -> list[Path]:
    if pattern.is_file():
        return [pattern]
    if pattern.is_dir():
        if _reader_for(pattern, readers) is not None:
            return [pattern]  # formats that are folders, such as Zarr
        files = [p for p in sorted(pattern.iterdir()) if _is_recording(p, readers)]
        if not files:
            raise DataError(f"{pattern}: must hold a recording ({', '.join(f'*{s}' for s in SUFFIXES)}), found {_listing(pattern)}. Name a file.")
        return files
    if set("*?[") & set(str(pattern)):
        found = sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
        visible = [p for p in found if not p.name.startswith(".") or pattern.name.startswith(".")]  # as shells have it
        files = [p for p in visible if p.is_file() or _reader_for(p, readers) is not None]
        if not files:
            raise DataError(f"{pattern}: must match at least one file, matched none. Check the folder and the ending.")
        return files
    raise DataError(f"{pattern}: must be a file, a folder or a pattern, found nothing there.{_near_misses(pattern)} Check the path.")


def _is_recording(path: Path, readers: tuple[DataReaderSpec, ...]) -> bool:
    if path.name.startswith("."):
        return False
    return (path.is_file() and path.suffix.lower() in SUFFIXES) or _reader_for(path, readers) is not None


def _reader_for(path: Path, readers: Iterable[DataReaderSpec]) -> DataReaderSpec | None:
    return next((reader for reader in readers if reader.matches(path)), None)


def _listing(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    return first_few(names, 5) or "an empty folder"


def _near_misses(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
