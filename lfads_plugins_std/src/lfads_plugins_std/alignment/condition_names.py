"""Numbers of conditions and their names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

KEY, NAMES = "cond", "cond_names"
"""Trials' numbers (without the split's prefix), and the name of each number, an array of the session."""


def texts(values: np.ndarray) -> list[str]:
    """Entries of an array as text, bytes decoded."""
    return [value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value) for value in np.ravel(values).tolist()]


def names_of(labels: Shaped[np.ndarray, " B"], extras: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> list[str] | None:
    """Name of every number that the trials' labels may be; None where these are no numbers with names.

    Numbers are those of one file, names are shared: another file with other conditions gives the same name another number.
    """
    names = arrays.get(NAMES)
    if names is None or names.ndim != 1 or KEY not in extras or not np.array_equal(labels, extras[KEY]):
        return None
    if labels.dtype.kind not in "iu" or not labels.size or labels.min() < 0 or labels.max() >= len(names):
        return None
    return texts(names)
