"""Variables of a Matlab file: of version 5 and 7 through scipy, of 7.3 as the HDF5 that it is. Axes are in Matlab's own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfads_core.errors import DataError

_OWN = "#"  # Matlab's own groups begin with it


def read_matlab(path: Path) -> dict[str, Any]:
    """Arrays by name; cells become lists of arrays, or arrays of text; fields of a structure stand as NAME_FIELD.

    Raises:
        DataError: the file is damaged, or scipy is missing for one of the older versions.
    """
    if h5py.is_hdf5(path):
        try:
            with h5py.File(path, "r") as file:
                return _flattened({name: _v73(file, item) for name, item in file.items() if not name.startswith(_OWN)})
        except (OSError, RuntimeError) as err:
            raise DataError(f"{path}: must be a whole Matlab file, but HDF5 says: {err}. Save it again.") from err
    try:
        from scipy.io import loadmat
    except ImportError as err:
        raise DataError(f"{path}: Matlab files before version 7.3 need scipy. Install it: pip install 'lfads-core[mat]'.") from err
    try:
        found = loadmat(path, struct_as_record=True)
    except (ValueError, NotImplementedError, OSError, TypeError) as err:
        raise DataError(f"{path}: must be a whole Matlab file, but scipy says: {err}. Save it again.") from err
    return _flattened({name: _v5(value) for name, value in found.items() if not name.startswith("__")})


def _v5(value: Any) -> Any:
    if isinstance(value, np.void) or (isinstance(value, np.ndarray) and value.dtype.names):  # a structure
        fields = np.asarray(value).ravel(order="F")
        if fields.size == 1:
            return {name: _v5(fields[name][0]) for name in fields.dtype.names or ()}
        return {name: _cell([_v5(item) for item in fields[name]]) for name in fields.dtype.names or ()}  # such as one for each trial
    array = np.asarray(value)
    if array.dtype.kind == "O":
        items = [_v5(item) for item in array.ravel(order="F").tolist()]
        return items[0] if len(items) == 1 and isinstance(items[0], dict) else _cell(items)
    if array.dtype.kind == "U":
        return str(array.ravel()[0]) if array.size == 1 else array.ravel().astype(object)
    return array


def _v73(file: Any, item: Any) -> Any:
    if isinstance(item, h5py.Group):
        return {name: _v73(file, inner) for name, inner in item.items()}
    kind = item.attrs.get("MATLAB_class", b"")
    if item.attrs.get("MATLAB_empty", 0):
        return np.zeros(0)
    if item.dtype == h5py.ref_dtype:
        return _cell([_v73(file, file[reference]) for reference in item[()].ravel()])
    values = item[()]
    if kind in (b"char", "char"):
        return "".join(map(chr, np.ravel(values, order="F" if values.shape[:1] == (1,) else "C")))
    return np.transpose(values)


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
