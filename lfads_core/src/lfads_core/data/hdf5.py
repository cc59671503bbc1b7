"""Read one HDF5 file of the layout ``{train,valid,test}_{encod_data,recon_data,ext_input,...}``, (trials, bins, channels).

``train/encod_data`` (a group for each split) is read like ``train_encod_data``. Arrays with one row per trial ride along in
:attr:`Split.extras`, all others in :attr:`Session.arrays`, file attributes in :attr:`Session.attributes`. Text comes
back as ``str``, arrays of text as object arrays of ``str``, which h5py writes again as they are.
"""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int
from numpy.typing import DTypeLike

from lfads_core.data.bounds import Room, spoken_reading
from lfads_core.data.heaps import refuse_endless_heap
from lfads_core.data.layout import Agreement, agreement, build_session, same_values
from lfads_core.data.legacy import SPLITS, new_names
from lfads_core.data.listing import axes_reversed, can_ride, datasets_of, is_matlab_text, is_ragged, matlab_text, require_readable
from lfads_core.data.memory import SAMPLE_BYTES, evenly
from lfads_core.data.rows import AbstractRows, open_rows, row_blocks
from lfads_core.data.session import Session, StoredSplit
from lfads_core.errors import DataError
from lfads_core.wording import first_few, one_line

log = logging.getLogger(__name__)

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
"""File names that a folder is searched for."""


def read_hdf5(
    path: Path,
    *,
    name: str | None = None,
    dtype: DTypeLike = np.float32,
    required: Collection[str] = ("train", "valid"),
    keep_on_disk: bool = False,
    room: int | None = None,
) -> Session:
    """Read a file; data and external inputs become ``dtype``, everything else keeps its own.

    With ``keep_on_disk`` the splits hold an evenly spaced sample of the trials, and ``stored`` reads all of them from the file.
    What is read into memory may take ``room`` bytes (None: half of what is free), which is asked before any of it is read.

    Raises:
        DataError: The file is missing, damaged, locked, not HDF5, or its arrays do not fit together or into memory.
    """
    with opened(path) as file:
        attributes = attributes_of(file, path)
        sources = _sources(file, path, Room(room))
        samples = _samples(sources, np.dtype(dtype)) if keep_on_disk else {}
        some = {key: sources[key].some(rows) for split, rows in samples.items() for key in _riding_in(split, sources)}
        session = build_session(name or path.stem, {**sources, **some}, attributes, where=str(path), path=path, dtype=dtype, required=required)
        stored = {split: _stored_split(split, sources, rows, dtype) for split, rows in samples.items()}
    splits = {split: replace(session.splits[split], nested=stored[split].nested) for split in stored}
    return replace(session, splits={**session.splits, **splits}, stored=stored)


def size_in_memory(path: Path, dtype: DTypeLike = np.float32) -> int:
    """Bytes that the file's trials would fill: data and whatever rides along with them, without reading any.

    Raises:
        DataError: The file is missing, damaged, locked, or not HDF5.
    """
    width = np.dtype(dtype).itemsize
    with opened(path) as file:
        sources = _sources(file, path)
        return sum(math.prod(source.shape) * max(width, source.dtype.itemsize) for source in sources.values() if len(source.shape) > 2)


def names_in(file: h5py.File, path: Path) -> dict[str, str]:
    """Where each array of an open file stands in it, by its key in the present layout."""
    sources = _sources(file, path)
    return {new: sources[old].key for old, new in new_names(sources).items()}


def turned_in(file: h5py.File, path: Path) -> bool:
    """Whether the arrays of an open file are stored with their axes in reverse order, as MATLAB writes them."""
    return any(source.turned for source in _sources(file, path).values())


def _samples(sources: Mapping[str, _Stored], dtype: np.dtype[Any]) -> dict[str, Int[np.ndarray, " S"]]:
    """For each split the rows of its sample."""
    found = {}
    for split in SPLITS:
        data = _data(split, sources)
        if len(data) and all(len(source.shape) == 3 and 0 not in source.shape for source in data):
            size = max(math.prod(source.shape[1:]) for source in data) * dtype.itemsize
            found[split] = evenly(data[0].shape[0], max(SAMPLE_BYTES // size, 1))
    return found


def _data(split: str, sources: Mapping[str, _Stored]) -> list[_Stored]:
    """Datasets of a split's input and, if it has one, its target."""
    by_new = {new: sources[old] for old, new in new_names(sources).items()}
    return [by_new[key] for key in (f"{split}_encod_data", f"{split}_recon_data") if key in by_new]


def _riding_in(split: str, sources: Mapping[str, _Stored]) -> list[str]:
    """Datasets with a row for each trial of the split."""
    trials = _data(split, sources)[0].shape[:1]
    return [old for old, new in new_names(sources).items() if new.startswith(f"{split}_") and sources[old].shape[:1] == trials]


def _stored_split(split: str, sources: Mapping[str, _Stored], sample: Int[np.ndarray, " S"], dtype: DTypeLike) -> StoredSplit:
    encod, *rest = (source.on_disk(dtype) for source in _data(split, sources))
    external = next((source for key, source in sources.items() if new_names(sources).get(key) == f"{split}_ext_input"), None)
    recon, nested = _compared(encod, rest[0]) if rest else (encod, True)
    return StoredSplit(
        encod=encod,
        recon=recon,
        external=None if external is None or not external.shape[2] else external.on_disk(dtype),
        nested=nested,
        sample=sample,
    )


def _compared(encod: AbstractRows, recon: AbstractRows) -> tuple[AbstractRows, bool]:
    """The target's rows, which are the input's own when all values are the same; and whether the input is part of it."""
    same, found = recon.shape == encod.shape, Agreement(telling=0, agreeing=0)
    for first, target in recon.blocks():
        block = encod.take(np.arange(first, first + len(target)))
        same = same and same_values(block, target)
        found += agreement(block, target)
    return (encod, True) if same else (recon, found.nested)


class _Stored:
    """A dataset of an open file, or some of its rows; ``turned`` where its axes are stored in reverse order."""

    def __init__(self, dataset: Any, key: str, path: Path, room: Room, rows: Int[np.ndarray, " S"] | None = None, *, turned: bool) -> None:
        self._dataset, self.key, self._path, self._room, self._rows, self.turned = dataset, key, path, room, rows, turned
        shape: tuple[int, ...] = dataset.shape[::-1] if turned else dataset.shape
        if turned and len(shape) == 2 and 1 in shape:  # MATLAB's rows and columns
            shape = (max(shape),)
        self.shape = shape if rows is None else (len(rows), *shape[1:])
        self.dtype: np.dtype[Any] = dataset.dtype

    def some(self, rows: Int[np.ndarray, " S"]) -> _Stored:
        """The same dataset, of which only these rows are read."""
        return _Stored(self._dataset, self.key, self._path, self._room, rows, turned=self.turned)

    def on_disk(self, dtype: DTypeLike) -> AbstractRows:
        """The same dataset, read by rows whenever they are wanted.

        Raises:
            DataError: it must be copied first, and there is no room to; or what it refers to is missing.
        """
        require_readable(self._dataset, self.key, self._path)
        return open_rows(self._path, self._dataset, dtype, turned=self.turned)

    def read(self, dtype: DTypeLike | None) -> np.ndarray:
        """Return the values; HDF5 converts chunk by chunk, so no second copy is made."""
        itemsize = self.dtype.itemsize if dtype is None else max(np.dtype(dtype).itemsize, self.dtype.itemsize)
        self._room.take(self._path, f"'{self.key}'", self.shape, itemsize)
        return self._read(dtype, () if self._rows is None else self._rows)

    def blocks(self, dtype: DTypeLike) -> Iterator[tuple[int, np.ndarray]]:
        """Return the values some rows at a time: whole chunks, for HDF5 decodes no less."""
        chunk = self._dataset.chunks[-1 if self.turned else 0] if self._dataset.chunks and self._rows is None else 1
        for rows in row_blocks(self.shape, np.dtype(dtype).itemsize, chunk):
            yield rows.start, self._read(dtype, rows if self._rows is None else self._rows[rows])

    def _read(self, dtype: DTypeLike | None, wanted: tuple[()] | slice | Int[np.ndarray, " S"]) -> np.ndarray:
        require_readable(self._dataset, self.key, self._path)
        with spoken_reading(self._path, f"'{self.key}'"):
            if dtype is not None:
                return self._taken(self._dataset.astype(dtype), wanted)
            if h5py.check_string_dtype(self.dtype) is not None:
                return self._taken(self._dataset.asstr(errors="replace"), wanted).astype(object)
            if is_matlab_text(self._dataset):
                return matlab_text(self._dataset)
            return self._taken(self._dataset, wanted)

    def _taken(self, dataset: Any, wanted: tuple[()] | slice | Int[np.ndarray, " S"]) -> np.ndarray:
        if not self.turned:
            return np.asarray(dataset[wanted])
        if len(self.shape) == 1:
            return np.ravel(dataset[()])[wanted]
        return np.ascontiguousarray(np.transpose(dataset[()] if isinstance(wanted, tuple) else dataset[(..., wanted)]))


def read_whole(dataset: Any, key: str, path: Path, *, turned: bool) -> np.ndarray:
    """All of an open dataset, as a session in memory has it: text too, and MATLAB's rows and columns as one axis.

    Raises:
        DataError: it can no longer be read, or there is no room for it.
    """
    return _Stored(dataset, key, path, Room(), turned=turned).read(None)


def opened(path: Path) -> Any:
    """Open for reading; file systems that cannot lock (NFS) are read without a lock.

    Raises:
        DataError: The file is missing, damaged, locked, or not HDF5.
    """
    file = _open(path)
    try:
        refuse_endless_heap(path)
    except DataError:
        file.close()
        raise
    return file


@contextmanager
def opened_outputs(path: Path) -> Iterator[Any]:
    """What a run inferred, for reading; only calls of h5py belong inside.

    Raises:
        DataError: as :func:`opened`, or what is read inside is missing or damaged.
    """
    with opened(path) as file, spoken_reading(path, "an output file", hint="Make it again with `lfads infer`."):
        yield file


def _open(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError as err:
        raise DataError(f"{path}: must be an HDF5 file, found nothing there. Check the path.") from err
    except IsADirectoryError as err:
        raise DataError(f"{path}: must be an HDF5 file, got a folder. Name a file in it.") from err
    except PermissionError as err:
        raise DataError(f"{path}: must be readable, but you have no permission. Ask its owner, or run 'chmod u+r' on it.") from err
    except BlockingIOError as err:
        raise DataError(
            f"{path}: must not be open for writing elsewhere, but another program holds its lock. Close the file there, "
            "or set HDF5_USE_FILE_LOCKING=FALSE if you know that nothing writes to it."
        ) from err
    except (OSError, RuntimeError, ValueError) as err:
        if "unable to lock file" in str(err) or getattr(err, "errno", None) == errno.ENOLCK:
            return h5py.File(path, "r", locking=False)
        if "truncated file" in str(err):
            raise DataError(f"{path}: must be a whole HDF5 file, but its end is missing. Copy or write it again.") from err
        if "signature not found" in str(err):
            raise DataError(f"{path}: must be an HDF5 file, got {_kind_of(path)}. Convert it, or install a plugin that reads it.") from err
        raise DataError(f"{path}: must be a readable HDF5 file, but HDF5 says: {one_line(err)}. Copy or write it again.") from err


def _kind_of(path: Path) -> str:
    return "an empty file" if path.stat().st_size == 0 else "something else"


def _sources(file: Any, path: Path, room: Room | None = None) -> dict[str, _Stored]:
    """Every dataset by key, groups of a split spelt as a prefix; a key spelt both ways is taken without the group."""
    found: dict[str, tuple[str, Any]] = {}
    grouped: dict[str, tuple[str, Any]] = {}
    room = room or Room()
    for key, item in datasets_of(file, path).items():
        group, _, rest = key.partition("/")
        if rest and group in SPLITS:
            grouped[f"{group}_{rest}"] = (key, item)
        else:
            found[key] = (key, item)
    taken = {item.id for _, item in grouped.values()} | {item.id for key, (_, item) in found.items() if key.partition("_")[0] in SPLITS}
    other = {key: at for key, at in found.items() if key.partition("_")[0] in SPLITS or at[1].id not in taken}  # not another name of a split's
    both = {**grouped, **other}
    if no_values := [f"'{key}'" for key, (_, item) in both.items() if not can_ride(item)]:
        log.warning("%s: left out: %s, which hold neither numbers nor text.", path, first_few(no_values, 5))
        both = {key: at for key, at in both.items() if f"'{key}'" not in no_values}
    turned = axes_reversed({key: item for key, (_, item) in both.items()}, path)
    return {key: _Stored(item, name, path, room, turned=turned) for key, (name, item) in both.items()}


def attributes_of(file: Any, path: Path) -> dict[str, Any]:
    """What stands in an open file's attributes: text as ``str``, numbers as Python's own, arrays as arrays.

    Those without a value, and ragged ones, are left out.

    Raises:
        DataError: one cannot be read.
    """
    with spoken_reading(path, "the list of its attributes"):
        keys = list(file.attrs)
    found = {}
    for key in keys:
        _require_text(path, "the name of an attribute", key)
        with spoken_reading(path, f"attribute '{key}'"):
            value = None if is_ragged(file.attrs, key) else _plain(file.attrs[key])
        if value is not None:
            found[key] = value
    return found


def _require_text(path: Path, what: str, name: str | bytes) -> None:
    if isinstance(name, bytes):  # how h5py gives what it cannot decode
        raise DataError(f"{path}: {what} must be UTF-8, got {name!r}. Rename it, or delete it.")


def _plain(value: Any) -> Any:
    """Text as ``str``, numbers as Python's own, arrays as arrays; None for an attribute without a value."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        flat = [item.decode("utf-8", errors="replace") if isinstance(item, bytes) else item for item in value.ravel()]
        text = np.empty(len(flat), dtype=object)
        text[:] = flat
        return text.reshape(value.shape)
    return value.item() if isinstance(value, np.generic) else value
