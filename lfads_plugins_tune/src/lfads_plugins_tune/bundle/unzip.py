"""Recordings out of a zip that somebody sent: nothing in it is trusted, neither names nor sizes."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from lfads_core.data.hdf5 import SUFFIXES
from lfads_core.data.read import session_name
from lfads_core.errors import DataError
from lfads_core.files import replacing, spoken_failure
from lfads_core.wording import spoken_size

MOST_ENTRIES = 10_000
_CHUNK = 1 << 20
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}
"""What operating systems put into archives; names that begin with a dot are passed over too."""


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """Recordings that were written, and entries that are none."""

    recordings: Sequence[Path]
    passed_over: Sequence[str]


def unpack(source: Path, folder: Path, limit: int) -> Unpacked:
    """Write the recordings of a zip into one folder, without the folders they lie in; an earlier attempt's files are replaced.

    Raises:
        DataError: it is no whole zip; an entry would lead out of the folder, is a link, is encrypted, or has the name of another; there is
            no recording; or all recordings together take more than ``limit`` bytes, as they say or as they really do.
        RunError: they cannot be written.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            infos = archive.infolist()
            _refuse(source, _faults(infos))
            wanted = [info for info in infos if _is_recording(info)]
            _refuse(source, _clashes(wanted))
            _check_sizes(source, wanted, folder, limit)
            written = _write_all(source, archive, wanted, folder, limit)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError, RuntimeError, IndexError, struct.error) as err:
        raise DataError(f"{source}: must be a whole zip of recordings, got: {err}. Make it anew.") from err
    except OSError as err:
        raise DataError(f"{source}: must be a readable zip of recordings, got: {err.strerror or err}. Check the path.") from err
    others = [info.filename for info in infos if not info.is_dir() and not _is_junk(info) and info not in wanted]
    return Unpacked(recordings=written, passed_over=others)


def _refuse(source: Path, faults: Iterator[str]) -> None:
    if found := list(faults):
        raise DataError("\n".join(f"{source}: {fault}" for fault in found))


def _faults(infos: Sequence[zipfile.ZipInfo]) -> Iterator[str]:
    """What no entry may be, whether it is wanted or not."""
    if len(infos) > MOST_ENTRIES:
        yield f"a zip must hold at most {MOST_ENTRIES} entries, got {len(infos)}. Zip the recordings alone."
        return
    for info in infos:
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        if _leads_away(name):
            yield f"every entry must stay within the folder it is unpacked to, got {name!r}. Zip the recordings with their names alone."
        elif kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            yield f"every entry must be a file or a folder, got a link or device, {name!r}. Zip the recording itself."
        elif info.flag_bits & 1:
            yield f"no entry may be encrypted, got {name!r}. Zip without a password."
        elif info.compress_type not in _METHODS:
            yield f"every entry must be stored or compressed by deflate, bzip2 or lzma, got {name!r}. Zip with an ordinary program."


def _leads_away(name: str) -> bool:
    """Whether a name means a place outside, to any operating system; or nothing that a file can be called."""
    windows = PureWindowsPath(name)
    away = name.startswith("/") or bool(windows.drive) or bool(windows.root) or ".." in windows.parts or ".." in PurePosixPath(name).parts
    return away or any(ord(letter) < 32 for letter in name)


def _is_junk(info: zipfile.ZipInfo) -> bool:
    parts = PureWindowsPath(info.filename).parts
    return not parts or any(part in _JUNK or part.startswith(".") for part in parts)


def _is_recording(info: zipfile.ZipInfo) -> bool:
    return not info.is_dir() and not _is_junk(info) and PureWindowsPath(info.filename).suffix.lower() in SUFFIXES


def _clashes(wanted: Sequence[zipfile.ZipInfo]) -> Iterator[str]:
    if not wanted:
        yield f"a zip must hold at least one recording ({', '.join(f'*{suffix}' for suffix in SUFFIXES)}), got none. Zip HDF5 files."
    seen: dict[str, zipfile.ZipInfo] = {}
    for info in wanted:
        name = PureWindowsPath(info.filename).name
        other = seen.setdefault(session_name(Path(name)).casefold(), info)
        if other is not info:
            yield f"every recording must have a name of its own, got {other.filename!r} and {info.filename!r}. Rename one."


def _check_sizes(source: Path, wanted: Sequence[zipfile.ZipInfo], folder: Path, limit: int) -> None:
    """Compare what the zip says of itself with what is allowed, and with what is free."""
    total = sum(info.file_size for info in wanted)
    if total > limit:
        raise DataError(_too_large(source, f"which say that they take {spoken_size(total)}", limit))
    if total > (free := shutil.disk_usage(folder).free):
        raise DataError(f"{source}: its recordings take {spoken_size(total)} unpacked, but {folder} has {spoken_size(free)} left. Make room.")


def _too_large(source: Path, what: str, limit: int) -> str:
    return f"{source}: its recordings may take {spoken_size(limit)} unpacked, got recordings {what}. Allow more with --max-size if you trust them."


def _write_all(source: Path, archive: zipfile.ZipFile, wanted: Sequence[zipfile.ZipInfo], folder: Path, limit: int) -> list[Path]:
    """Unpack, counting what really comes out."""
    count, written = 0, []
    for info in wanted:
        path = folder / PureWindowsPath(info.filename).name
        with spoken_failure(path), replacing(path) as temporary, temporary.open("wb") as target:
            for block in _blocks(archive, info):
                count += len(block)
                if count > limit:
                    raise DataError(_too_large(source, "that go on beyond it", limit))
                target.write(block)
        written.append(path)
    return written


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Contents of an entry; bzip2 tells damage by an error that looks like the system's."""
    try:
        with archive.open(info) as packed:
            while block := packed.read(_CHUNK):
                yield block
    except OSError as err:
        if err.errno is not None:
            raise
        raise zipfile.BadZipFile(str(err)) from err
