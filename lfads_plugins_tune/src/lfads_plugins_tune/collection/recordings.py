"""What the recordings of a collection hold, and hashes of their contents, remembered while a file keeps its size and time."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.data.layout import CONDITION_KEYS
from lfads_core.data.read import read_session
from lfads_core.data.session import Session
from lfads_core.errors import DataError, RunError
from lfads_core.files import read_json, write_json
from lfads_core.plugins.specs import DataReaderSpec
from lfads_core.records import record_from

_HEX = 16
_CHUNK = 1 << 22
_SETTLED = 2.0
"""Seconds a file must be older than its hash to be known again by its time, which some file systems keep no better."""


@dataclass(frozen=True, kw_only=True)
class RecordingFacts:
    """One recording in numbers."""

    trials: Mapping[str, int]  # by split
    bins: int
    channels: int
    bin_ms: float | None
    conditions: int | None  # different ones among the training trials; None if the file has no array of them


@dataclass(frozen=True, kw_only=True)
class CollectedRecording:
    """One recording: where it is, what is in it, and the hash of its bytes."""

    name: str
    path: Path
    content: str
    facts: RecordingFacts


@dataclass(frozen=True, kw_only=True)
class _Line:
    """What is remembered of one recording."""

    stamps: Mapping[str, Any]
    settled: bool
    content: str
    facts: Mapping[str, Any]


class Recordings:
    """Looks at recordings, and keeps what it found in a JSON file beside the collection."""

    def __init__(self, memory: Path, readers: Iterable[DataReaderSpec]) -> None:
        self.memory, self.readers = memory, tuple(readers)
        self._known: dict[str, Any] = _read(memory)
        self._changed = False

    def look(self, name: str, path: Path) -> CollectedRecording:
        """Hash and measure one recording, unless it is known and its files have kept their sizes and times.

        Raises:
            DataError: it cannot be read.
        """
        key, stamps = os.path.relpath(path.resolve(), self.memory.parent.resolve()), _stamps(path)
        known = _line(self._known.get(key))
        if known is None or known.stamps != stamps or not known.settled:
            before = time.time()
            content = _hash_files(path)
            facts = known.facts if known is not None and known.content == content else asdict(_measure(read_session(path, self.readers)))
            settled = all(mtime / 1e9 < before - _SETTLED for _, mtime in stamps.values())
            found = _Line(stamps=stamps, settled=settled, content=content, facts=facts)
            self._changed, known = self._changed or found != known, found
            self._known[key] = asdict(found)
        return CollectedRecording(name=name, path=path, content=known.content, facts=RecordingFacts(**known.facts))

    def keep(self) -> None:
        """Write what is known, if anything is new."""
        if self._changed:
            write_json(self.memory, self._known)
            self._changed = False


def data_hash(recordings: Iterable[CollectedRecording]) -> str:
    """Hash of a dataset: names of its sessions and their contents, wherever the files are."""
    lines = sorted(f"{recording.name} {recording.content}" for recording in recordings)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_HEX]


def _read(memory: Path) -> dict[str, Any]:
    """What is remembered; a damaged file is as good as none."""
    try:
        return read_json(memory)
    except RunError:
        return {}


def _line(found: Any) -> _Line | None:
    """What is remembered of one recording; a damaged line is as good as none."""
    try:
        line = record_from(_Line, found)
        record_from(RecordingFacts, line.facts)
    except TypeError:
        return None
    return line


def _files(path: Path) -> list[Path]:
    """The file, or every file in a format that is a folder."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _stamps(path: Path) -> dict[str, list[int]]:
    try:
        stats = {str(file.relative_to(path)): file.stat() for file in _files(path)}
    except OSError as err:
        raise DataError(f"{path}: must be a readable recording, got: {err.strerror}. Check the path and its rights.") from err
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _hash_files(path: Path) -> str:
    whole = hashlib.sha256()
    try:
        for file in _files(path):
            if file != path:
                whole.update(f"\0{file.relative_to(path)}\0".encode())
            with file.open("rb") as source:
                while block := source.read(_CHUNK):
                    whole.update(block)
    except OSError as err:
        raise DataError(f"{path}: must be a readable recording, got: {err.strerror}. Check the path and its rights.") from err
    return whole.hexdigest()[:_HEX]


def _measure(session: Session) -> RecordingFacts:
    train = session.splits["train"]
    keys = [key for key in CONDITION_KEYS if key in train.extras and train.extras[key].ndim == 1]
    return RecordingFacts(
        trials={name: split.trials for name, split in session.splits.items()},
        bins=int(train.recon.shape[1]),
        channels=int(train.recon.shape[2]),
        bin_ms=session.bin_ms,
        conditions=len(np.unique(train.extras[keys[0]])) if keys else None,
    )
