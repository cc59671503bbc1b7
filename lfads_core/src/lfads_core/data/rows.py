"""Trials of an array that stays on disk, read by row: what training needs of a recording larger than memory.

Where HDF5 keeps an array as one uncompressed block, rows are read straight from the file. Where each trial has chunks of its own,
HDF5 reads them. Anything else (compressed chunks over many trials) would be decoded again for every trial, so it is copied once
into a scratch file without a name, which is gone when the program ends, however it ends.
"""

from __future__ import annotations

import abc
import itertools
import math
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int
from numpy.typing import DTypeLike

from lfads_core.errors import DataError

BLOCK_BYTES = 1 << 25
"""About how much is read at a time where all trials are visited."""


def row_blocks(shape: tuple[int, ...], itemsize: int, multiple_of: int = 1) -> Iterator[slice]:
    """Rows of an array in order, about :data:`BLOCK_BYTES` at a time; but for the last, as many as a multiple of a number."""
    size = max(1, math.prod(shape[1:]) * itemsize * multiple_of)
    step = max(1, BLOCK_BYTES // size) * multiple_of
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


class AbstractRows(abc.ABC):
    """An array whose first axis is trials."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abc.abstractmethod
    def take(self, rows: Int[np.ndarray, " B"]) -> np.ndarray:
        """These rows, in this order, as ``dtype``.

        Raises:
            DataError: the file can no longer be read.
        """

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All rows in order, some at a time, each with the number of its first."""
        for rows in row_blocks(self.shape, self.dtype.itemsize):
            yield rows.start, self.take(np.arange(rows.start, rows.stop))


class BlockRows(AbstractRows):
    """Rows of one uncompressed block of a file, which begins at ``offset``. Safe to use from several threads and after a fork."""

    def __init__(self, file: int, where: str, offset: int, shape: tuple[int, ...], stored: np.dtype[Any], dtype: DTypeLike) -> None:
        self._file, self._where, self._offset, self._stored = file, where, offset, stored
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._size = math.prod(shape[1:]) * stored.itemsize

    def __del__(self) -> None:
        os.close(self._file)

    def take(self, rows: Int[np.ndarray, " B"]) -> np.ndarray:
        """Rows that follow one another in the file are read in one go."""
        out = np.empty((len(rows), *self.shape[1:]), self._stored)
        target = out.reshape(-1).view(np.uint8).data
        order = np.argsort(rows, kind="stable")
        in_order = bool((order == np.arange(len(rows))).all())
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1 if in_order else np.arange(1, len(rows))
        starts = [0, *breaks.tolist(), len(rows)]
        for first, end in itertools.pairwise(starts):
            if end > first:
                self._fill(target[first * self._size : end * self._size], self._offset + int(rows[first]) * self._size)
        return out.astype(self.dtype, copy=False)

    def _fill(self, target: memoryview, offset: int) -> None:
        done = 0
        while done < len(target):
            try:
                got = os.preadv(self._file, [target[done:]], offset + done)
            except OSError as err:
                raise DataError(f"{self._where}: must stay readable while it is used, got: {err.strerror}. Mend the disk, then resume.") from err
            if not got:
                raise DataError(f"{self._where}: must stay as it was while it is used, but it has become shorter. Restore it, then resume.")
            done += got


class ChunkRows(AbstractRows):
    """Rows of a dataset that HDF5 keeps in chunks of single trials."""

    def __init__(self, path: Path, key: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._path, self._key = path, key
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._own = threading.local()  # a file of its own for each thread, and for a forked process

    def take(self, rows: Int[np.ndarray, " B"]) -> np.ndarray:
        """One row after the other."""
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        try:
            dataset = self._dataset()
            for i, row in enumerate(rows.tolist()):
                dataset.read_direct(out, np.s_[row], np.s_[i])
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as err:
            raise DataError(f"{self._path}: '{self._key}' must stay readable while it is used, got: {err}. Restore the file, then resume.") from err
        return out

    def _dataset(self) -> Any:
        if getattr(self._own, "process", None) != os.getpid():
            self._own.file, self._own.process = _opened(self._path), os.getpid()
        return self._own.file[self._key]


def _opened(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except OSError:  # a file system without locks, or a file opened without one elsewhere in this process
        return h5py.File(path, "r", locking=False)


class SomeChannels(AbstractRows):
    """Some channels of another array, in an order of their own."""

    def __init__(self, rows: AbstractRows, channels: Int[np.ndarray, " N"]) -> None:
        self._rows, self._channels = rows, channels
        self.shape, self.dtype = (*rows.shape[:-1], len(channels)), rows.dtype

    def take(self, rows: Int[np.ndarray, " B"]) -> np.ndarray:
        """``take`` keeps rows contiguous, which fancy indexing of the last axis does not."""
        return np.take(self._rows.take(rows), self._channels, axis=-1)


def open_rows(path: Path, dataset: Any, dtype: DTypeLike, *, turned: bool = False) -> AbstractRows:
    """Rows of a dataset (an open ``h5py.Dataset``), by the quickest way there is; ``turned`` where its last axis is trials.

    Raises:
        DataError: it must be copied, and there is no room to.
    """
    if turned:
        return _copied(path, dataset, np.dtype(dtype), turned=True)
    offset = dataset.id.get_offset()
    if offset is not None and dataset.dtype.kind in "biuf" and hasattr(os, "preadv"):
        return BlockRows(os.open(path, os.O_RDONLY), str(path), offset, dataset.shape, dataset.dtype, dtype)
    if offset is not None or (dataset.chunks is not None and dataset.chunks[0] == 1):
        return ChunkRows(path, dataset.name, dataset.shape, dtype)
    return _copied(path, dataset, np.dtype(dtype))


def _copied(path: Path, dataset: Any, dtype: np.dtype[Any], *, turned: bool = False) -> BlockRows:
    shape = dataset.shape[::-1] if turned else dataset.shape
    step = dataset.chunks[-1 if turned else 0] if dataset.chunks else 1
    if turned and not dataset.chunks:  # its bytes are trials last: few passes rather than many
        step = next(row_blocks(shape, dtype.itemsize)).stop
    try:
        with tempfile.TemporaryFile(prefix="lfads-") as scratch:
            for first in range(0, shape[0], step):
                rows = slice(first, first + step)
                block = np.transpose(dataset.astype(dtype)[..., rows]) if turned else dataset.astype(dtype)[rows]
                scratch.write(block.tobytes())
            scratch.flush()
            return BlockRows(os.dup(scratch.fileno()), str(path), 0, shape, dtype, dtype)
    except (OSError, RuntimeError, ValueError) as err:
        size = math.prod(dataset.shape) * dtype.itemsize
        raise DataError(
            f"{path}: '{dataset.name}' is {'stored with trials last' if turned else 'compressed over many trials'} and must be copied once "
            f"({size / 1e9:.1f} GB) "
            f"into {tempfile.tempdir or 'a temporary folder'}, got: {getattr(err, 'strerror', None) or err}. "
            "Make room, set TMPDIR to another folder, or store it in chunks of single trials."
        ) from err
