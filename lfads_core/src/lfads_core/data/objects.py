"""Arrays and columns as people have them in Python: lists, masked arrays, columns of tables with missing values, tensors."""

from __future__ import annotations

import math
import reprlib
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from lfads_core.errors import DataError


def as_array(what: str, values: Any, mend: str = "Mend them.") -> Shaped[np.ndarray, "..."]:
    """As NumPy takes it; what is masked or missing among numbers is NaN.

    Raises:
        DataError: it is no array, such as rows of unequal length.
    """
    try:
        if isinstance(values, list | tuple) and any(isinstance(one, np.ma.MaskedArray) for one in values):
            values = np.ma.array(values)  # else the masks are lost
        array = _unmasked(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        return _without_missing(array) if array.dtype.kind == "O" else array
    except (TypeError, ValueError, RuntimeError, OverflowError) as err:  # RuntimeError: tensors with gradients
        ragged = isinstance(err, ValueError) and isinstance(values, list | tuple)
        got = "parts of unequal length" if ragged else f"{_shown(values)}, of which NumPy says {str(err).partition(chr(10))[0]!r}"
        raise DataError(f"{what} must be one array, got {got}. {mend}") from err


def as_numbers(what: str, values: Any, mend: str = "Mend them.") -> Float[np.ndarray, "..."]:
    """The same in float64; texts that are numbers count as these.

    Raises:
        DataError: it is something else, such as dates, which have another unit than s.
    """
    array = as_array(what, values, mend)
    try:
        if array.dtype.kind in "biufUSO":
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise DataError(f"{what} must be numbers, got {_shown(values)}. {mend}") from err
    raise DataError(f"{what} must be numbers, got {array.dtype}. {mend}")


def as_column(what: str, values: Any) -> Shaped[np.ndarray, "..."]:
    """Numbers and truth values as they are, anything else as text; a text that is missing is empty.

    Raises:
        DataError: a cell holds several values, or they are complex numbers or records.
    """
    array = as_array(what, values, "Mend it.")
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind in "cV":
        raise DataError(f"{what} must hold numbers or texts, got {array.dtype}. Mend it.")
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind in "Mm":
        return np.where(np.isnat(array), "", array.astype(str)).astype(object)
    cells = [cell if type(cell) is str else _as_text(what, cell) for cell in array.ravel().tolist()]
    return np.array(cells, dtype=object).reshape(array.shape)


def _as_text(what: str, cell: Any) -> str:
    if np.ndim(cell) or isinstance(cell, set | dict):
        raise DataError(f"{what} must hold one value in each cell, got {_shown(cell)}. Mend it.")
    return "" if _is_missing(cell) else cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)


def _unmasked(values: np.ma.MaskedArray[Any, Any]) -> np.ndarray:
    numbers = values.dtype.kind in "biuf"
    array: np.ndarray = values.data.astype(np.result_type(values.dtype, np.float32) if numbers else object)
    array[np.ma.getmaskarray(values)] = np.nan if numbers else None
    return array


def _without_missing(array: np.ndarray) -> np.ndarray:
    """Cells of any type as numbers, where all that are not missing are some."""
    cells = array.ravel().tolist()
    present = [cell for cell in cells if not _is_missing(cell)]
    if not present or not all(isinstance(cell, Real | Decimal | np.bool_) and not isinstance(cell, np.timedelta64) for cell in present):
        return array
    numbers = np.array(cells if len(present) == len(cells) else [np.nan if _is_missing(cell) else float(cell) for cell in cells])
    return (numbers if numbers.dtype.kind in "biuf" else numbers.astype(np.float64)).reshape(array.shape)


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ in {"NAType", "NaTType"} or (isinstance(cell, float) and math.isnan(cell))


def _shown(values: Any) -> str:
    return " ".join(reprlib.repr(values).split()) if isinstance(values, list | tuple | str | bytes | None) else type(values).__name__
