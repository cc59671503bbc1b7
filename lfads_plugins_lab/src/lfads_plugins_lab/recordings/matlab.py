"""Variables of a Matlab file: of version 5 and 7 through scipy, of 7.3 as the HDF5 that it is. Axes are in Matlab's own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfads_core.data.bounds import Room, spoken_reading
from lfads_core.data.heaps import refuse_endless_heap
from lfads_core.data.listing import datasets_of
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.grid import Cells
from lfads_plugins_lab.recordings.matlab_elements import require_whole_elements

_OWN = "#"  # Matlab's own groups begin with it


def read_matlab(path: Path) -> dict[str, Any]:
    """Arrays by name; cells become lists of arrays, or arrays of text; fields of a structure stand as NAME_FIELD.

    Raises:
        DataError: the file is damaged, or scipy is missing for one of the older versions.
    """
    if h5py.is_hdf5(path):
        with spoken_reading(path, "a Matlab file of version 7.3", hint="Save it again."), h5py.File(path, "r") as file:
            refuse_endless_heap(path)
            room = Room()
            for key, item in datasets_of(file, path).items():
                room.take(path, f"'{key}'", item.shape, item.dtype.itemsize)
            reading = _V73(file)
            return _flattened({name: reading.value(file[name]) for name in file if not name.startswith(_OWN)})
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as err:
        raise DataError(f"{path}: Matlab files before version 7.3 need scipy. Install it: pip install 'lfads-core[mat]'.") from err
    with spoken_reading(path, "a Matlab file", by="scipy", hint="Save it again."):
        require_whole_elements(path)
        room = Room()
        for name, shape, _ in whosmat(path):
            room.take(path, f"'{name}'", shape, 8)
        found = loadmat(path, struct_as_record=True)
    return _flattened({name: _v5(value) for name, value in found.items() if not name.startswith("__")})


def _v5(value: Any) -> Any:
    if hasattr(value, "toarray"):  # a sparse matrix of scipy's
        return value.toarray()
    if isinstance(value, np.void) or (isinstance(value, np.ndarray) and value.dtype.names):  # a structure
        fields = np.asarray(value).ravel(order="F")
        if fields.size == 1:
            return {name: _v5(fields[name][0]) for name in fields.dtype.names or ()}
        return {name: _cell([_v5(item) for item in fields[name]]) for name in fields.dtype.names or ()}  # such as one for each trial
    array = np.asarray(value)
    if array.dtype.kind == "O":
        if array.ndim == 2 and 1 not in array.shape and array.size:
            return _cells([_v5(item) for item in array.ravel().tolist()], array.shape)
        items = [_v5(item) for item in array.ravel(order="F").tolist()]
        return items[0] if len(items) == 1 and isinstance(items[0], dict) else _cell(items)
    if array.dtype.kind == "U":
        return str(array.ravel()[0]) if array.size == 1 else array.ravel().astype(object)
    return array


class _V73:
    """Reads the objects of a file of version 7.3, each once, however many names it has; one that holds itself is refused."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._known: dict[int, Any] = {}

    def value(self, item: Any) -> Any:
        """Values of an array, or by name those in a group."""
        at = h5py.h5o.get_info(item.id).addr
        if at in self._known and self._known[at] is self:
            raise ValueError(f"{item.name!r} holds itself")
        if at not in self._known:
            self._known[at] = self
            self._known[at] = self._read(item)
        return self._known[at]

    def _read(self, item: Any) -> Any:
        if isinstance(item, h5py.Group):
            if "MATLAB_sparse" in item.attrs:
                return _sparse(item)
            return {name: self.value(item[name]) for name in item}
        kind = item.attrs.get("MATLAB_class", b"")
        if item.attrs.get("MATLAB_empty", 0) or item.shape is None:
            return np.zeros(0)
        if h5py.check_ref_dtype(item.dtype) is not None:
            references = np.transpose(item[()])
            if references.ndim == 2 and 1 not in references.shape:
                return _cells([self.value(self._file[reference]) for reference in references.ravel()], references.shape)
            return _cell([self.value(self._file[reference]) for reference in references.ravel()])
        values = item[()]
        if kind in (b"char", "char"):
            return "".join(map(chr, np.ravel(values, order="F" if values.shape[:1] == (1,) else "C")))
        return np.transpose(values)


def _sparse(group: Any) -> np.ndarray:
    """A sparse matrix of version 7.3: row of each value, and where each column begins."""
    rows = int(np.ravel(group.attrs["MATLAB_sparse"])[0])
    begins = np.ravel(group["jc"][()]).astype(np.int64)
    Room().take(group.file.filename, f"'{group.name}'", (rows, begins.size - 1), 8)
    full = np.zeros((rows, begins.size - 1))
    if "data" in group:
        full[np.ravel(group["ir"][()]).astype(np.int64), np.repeat(np.arange(begins.size - 1), np.diff(begins))] = np.ravel(group["data"][()])
    return full


def _cells(items: list[Any], shape: tuple[int, ...]) -> Any:
    """A cell array of rows and columns; text as one array."""
    if all(isinstance(item, str) for item in items):
        return np.array(items, dtype=object).reshape(shape).ravel(order="F")
    return Cells(items, (shape[0], shape[1]))


def _cell(items: list[Any]) -> Any:
    """Texts, or single numbers, as one array; anything else as the list it is, Matlab's rows and columns with one axis."""
    if items and all(isinstance(item, str) for item in items):
        return np.array(items, dtype=object)
    plain = [item if isinstance(item, dict | str | list) else np.asarray(item) for item in items]
    numbers = [item for item in plain if isinstance(item, np.ndarray) and item.size == 1]
    if len(numbers) == len(plain) > 1:
        return np.array([number.ravel()[0] for number in numbers])
    return [np.ravel(item) if isinstance(item, np.ndarray) and 1 in item.shape else item for item in plain]


def _flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found.update(_flattened(value, f"{prefix}{name}_"))
        elif isinstance(value, str):
            found[prefix + name] = np.array(value, dtype=object)
        else:
            found[prefix + name] = value
    return found
