"""Read one HDF5 file of the layout ``{train,valid,test}_{encod_data,recon_data,ext_input,...}``, (trials, bins, channels).

``train/encod_data`` (a group for each split) is read like ``train_encod_data``. Arrays with one row per trial ride along in
:attr:`Split.extras`, all others in :attr:`Session.arrays`, file attributes in :attr:`Session.attributes`. Text comes
back as ``str``, arrays of text as object arrays of ``str``, which h5py writes again as they are.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from lfads_core.data.layout import Source, build_session
from lfads_core.data.legacy import SPLITS
from lfads_core.data.session import Session
from lfads_core.errors import DataError

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
"""File names that a folder is searched for."""


def read_hdf5(path: Path, *, name: str | None = None, dtype: DTypeLike = np.float32, required: Collection[str] = ("train", "valid")) -> Session:
    """Read a file; data and external inputs become ``dtype``, everything else keeps its own.

    Raises:
        DataError: The file is missing, damaged, locked, not HDF5, or its arrays do not fit together.
    """
    with _opened(path) as file:
        attributes = {key: value for key in file.attrs if (value := _plain(_attribute(file, key, path))) is not None}
        return build_session(name or path.stem, _sources(file, path), attributes, where=str(path), path=path, dtype=dtype, required=required)


class _Stored:
    """A dataset of an open file."""

    def __init__(self, dataset: Any, key: str, path: Path) -> None:
        self._dataset, self._key, self._path = dataset, key, path
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype

    def read(self, dtype: DTypeLike | None) -> np.ndarray:
        """Return the values; HDF5 converts chunk by chunk, so no second copy is made."""
        try:
            if dtype is not None:
                return np.asarray(self._dataset.astype(dtype)[()])
            if h5py.check_string_dtype(self.dtype) is not None:
                return np.asarray(self._dataset.asstr(errors="replace")[()], dtype=object)
            return np.asarray(self._dataset[()])
        except (OSError, RuntimeError) as err:
            raise DataError(f"{self._path}: '{self._key}' must be readable, but the file is damaged ({err}). Copy or write it again.") from err


def _opened(path: Path) -> Any:
    """Open for reading; file systems that cannot lock (NFS) are read without a lock."""
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
    except OSError as err:
        if "unable to lock file" in str(err) or err.errno == errno.ENOLCK:
            return h5py.File(path, "r", locking=False)
        if "truncated file" in str(err):
            raise DataError(f"{path}: must be a whole HDF5 file, but its end is missing. Copy or write it again.") from err
        if "signature not found" in str(err):
            raise DataError(f"{path}: must be an HDF5 file, got {_kind_of(path)}. Convert it, or install a plugin that reads it.") from err
        raise DataError(f"{path}: must be a readable HDF5 file, but HDF5 says: {err}. Copy or write it again.") from err


def _kind_of(path: Path) -> str:
    return "an empty file" if path.stat().st_size == 0 else "something else"


def _sources(file: Any, path: Path) -> dict[str, Source]:
    """Every dataset by key, groups of a split spelt as a prefix; a key spelt both ways is taken without the group."""
    found: dict[str, Source] = {}
    grouped: dict[str, Source] = {}

    def visit(key: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return  # groups, and arrays that were declared but never given a shape
        group, _, rest = key.partition("/")
        if rest and group in SPLITS:
            grouped[f"{group}_{rest}"] = _Stored(item, key, path)
        else:
            found[key] = _Stored(item, key, path)

    try:
        file.visititems(visit)
    except (OSError, RuntimeError) as err:
        raise DataError(f"{path}: must be a whole HDF5 file, but its list of arrays is damaged ({err}). Copy or write it again.") from err
    return {**grouped, **found}


def _attribute(file: Any, key: str, path: Path) -> Any:
    try:
        return file.attrs[key]
    except (OSError, RuntimeError) as err:
        raise DataError(f"{path}: attribute '{key}' must be readable, but the file is damaged ({err}). Copy or write it again.") from err


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
