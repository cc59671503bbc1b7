"""From what a user types (files, folders, patterns) to sessions with names."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from attrs import evolve
from numpy.typing import DTypeLike

from lfads_core.data.hdf5 import SUFFIXES, read_hdf5, size_in_memory
from lfads_core.data.layout import rebuild_session
from lfads_core.data.memory import SAMPLE_BYTES
from lfads_core.data.session import Session, Split
from lfads_core.errors import DataError, LfadsError
from lfads_core.files import expanded
from lfads_core.origin import where
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DataReaderSpec, RecordingSpec
from lfads_core.wording import first_few, one_line, shown

T = TypeVar("T")


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
        DataError: Nothing is found, two files would have one name, or a file cannot be read; a raw recording is told how to be made into one.
    """
    readers = readers_of(registry)
    named = name_files(patterns, readers)
    for path in named.values():
        if registry is not None and path.suffix.lower() not in SUFFIXES and _reader_for(path, readers) is None:
            _refuse_raw(path, registry)
    on_disk = room is not None and sum(_size(path, readers, dtype) for path in named.values()) > room
    least = None if room is None else max(room, 16 * SAMPLE_BYTES)  # samples of stored trials, and what is no trials, must have a place
    return [read_session(named[name], readers, dtype=dtype, required=required, keep_on_disk=on_disk, room=least) for name in sorted(named)]


def _refuse_raw(path: Path, registry: Registry) -> None:
    """Say how a raw recording is made into a file for training.

    Raises:
        DataError: it is one.
    """

    def ask(spec: RecordingSpec, call: Callable[[Path], T]) -> T | None:
        return registry.shield(RecordingSpec, spec.name, lambda: call(path), "other formats are tried")

    spec = next((spec for spec, _ in registry.as_offered(RecordingSpec) if ask(spec, spec.matches)), None)
    if spec is None:
        return
    suggested = None if spec.suggest is None else ask(spec, spec.suggest)
    command = suggested or f"lfads data make {shlex.quote(str(path))} -o {shlex.quote(path.stem)}.h5"
    raise DataError(f"{path}: must be a file for training, got a raw recording ({spec.summary}). Make one of it, such as: {command}")


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
    """Read one file with the first reader that takes it, else as HDF5, which alone can keep trials on disk.

    Raises:
        DataError: it cannot be read, or a reader gives something else than a session.
    """
    reader = _reader_for(path, readers)
    if reader is None:
        return read_hdf5(path, name=session_name(path), dtype=dtype, required=required, keep_on_disk=keep_on_disk, room=room)
    session = reader.read(path)
    if (fault := _unlike_a_session(session)) is not None:
        raise DataError(f"{path}: the reader '{reader.name}' must return a lfads_core.data.session.Session{fault}. Mend the plugin.")
    return rebuild_session(session, name=session_name(path), path=path, dtype=dtype, required=required)


def readers_of(registry: Registry | None) -> tuple[DataReaderSpec, ...]:
    """Every reader that plugins offer, so guarded that one which fails is named, and that asking it whether it takes a file stops nobody."""
    if registry is None:
        return ()
    return tuple(evolve(spec, matches=partial(_takes, spec, registry), read=partial(_read, spec, registry)) for spec in registry.all(DataReaderSpec))


def _takes(spec: DataReaderSpec, registry: Registry, path: Path) -> bool:
    return registry.shield(DataReaderSpec, spec.name, lambda: _true_or_false(spec.matches(path)), "other readers are tried") or False


def _true_or_false(found: object) -> bool:
    if not isinstance(found, bool):
        raise TypeError(f"matches must give True or False, got {shown(found)}")
    return found


def _read(spec: DataReaderSpec, registry: Registry, path: Path) -> Session:
    by = f"{path}: the reader '{spec.name}' of {registry.owner(DataReaderSpec, spec.name)} must return a session, but"
    try:
        session = spec.read(path)
    except LfadsError:
        raise
    except (Exception, SystemExit) as err:
        raise DataError(f"{by} failed with {one_line(err)}{where(err)}. Mend the file or the plugin.") from err
    if (fault := _unlike_a_session(session)) is not None:
        raise DataError(f"{by} it is not one{fault}. Mend the plugin.")
    return session


def _unlike_a_session(session: object) -> str | None:
    """What is no part of a session in what a reader gave, as the end of a sentence."""
    if not isinstance(session, Session):
        return f", got {_a(session)}"
    for name, of in (("splits", session.splits), ("arrays", session.arrays), ("attributes", session.attributes)):
        if not isinstance(of, Mapping):
            return f" with a mapping of {name}, got {_a(of)}"
    for name, split in session.splits.items():
        if not isinstance(split, Split):
            return f" of lfads_core.data.session.Split, got {_a(split)} for '{name}'"
        for what in ("encod", "recon", "external"):
            if not isinstance(getattr(split, what), np.ndarray):
                return f" of NumPy arrays, got {_a(getattr(split, what))} for '{what}' of '{name}'"
        if split.external.ndim != split.encod.ndim:
            return f" whose 'external' has the axes of 'encod', got {split.external.shape} in '{name}'"
    return None


def _a(value: object) -> str:
    return "None" if value is None else f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")


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
