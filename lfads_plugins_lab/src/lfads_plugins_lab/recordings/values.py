"""Values as files give them: Matlab's rows and columns, bytes, numbers in arrays of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from lfads_core.errors import DataError
from lfads_core.wording import shown


def one_number(where: str, name: str, values: Any) -> float:
    """The number that an array holds.

    Raises:
        DataError: it holds something else, or more.
    """
    array = np.ravel(np.asarray(values, dtype=object) if isinstance(values, list) else values)
    try:
        number = float(array[0]) if len(array) == 1 else np.nan
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{where}: '{name}' must be one finite number, got {shown(values)}. Mend it.")
    return number


def flat(values: Any) -> Any:
    """One axis, where Matlab made two of it."""
    return np.ravel(values) if not isinstance(values, list) and np.ndim(values) == 2 and 1 in np.shape(values) else values


def is_flat(values: Any, count: int) -> bool:
    """Whether this is an array of one axis with so many entries."""
    return not isinstance(values, list) and np.shape(values) == (count,)


def text_of(values: Any) -> Shaped[np.ndarray, "..."]:
    """Bytes as text."""
    array = np.asarray(flat(values))
    if array.dtype.kind in "SO":
        plain: Sequence[Any] = [item.decode("utf-8", errors="replace") if isinstance(item, bytes) else item for item in array.ravel().tolist()]
        text = np.empty(len(plain), dtype=object)
        text[:] = plain
        return text.reshape(array.shape)
    return array
