"""What is known of each trial: its condition, and whatever else the table says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, Shaped

from lfads_core.data.layout import CONDITION_KEYS
from lfads_core.data.objects import as_column
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.windows import unknown

TAKEN = frozenset(
    {
        *("encod_data", "recon_data", "data", "ext_input", "truth", "smoothed", "behavior", "decode_mask", "cond", "jitter", "inds"),
        *("start_s", "trial_start_s", "trial_stop_s", "first_bin", "segment"),
    }
)
"""Keys that mean something of their own; a column of such a name gets another."""


def condition_columns(columns: Mapping[str, Shaped[np.ndarray, " B"]], wanted: Sequence[str]) -> tuple[str, ...]:
    """Columns whose combinations are conditions: those wanted, or the first of the usual names that is there."""
    return tuple(wanted) or tuple(key for key in CONDITION_KEYS if key in columns)[:1]


def conditions(
    where: str, columns: Mapping[str, Shaped[np.ndarray, " B"]], wanted: Sequence[str]
) -> tuple[Int[np.ndarray, " B"], tuple[str, ...]] | None:
    """Number of each trial's condition, and the conditions' names; None when the table holds none.

    Several columns make a condition of each combination that occurs. Conditions are numbered in the order of their values.

    Raises:
        DataError: a column is not there, or holds several values in a cell.
    """
    names = condition_columns(columns, wanted)
    if not names:
        return None
    for name in names:
        if name not in columns:
            raise DataError(unknown(where, "a condition must be a column of the trials", name, list(columns)))
    parts = [np.unique(_sortable(as_column(f"{where}: '{name}'", columns[name])), return_inverse=True) for name in names]
    rows, codes = np.unique(np.stack([inverse.ravel() for _, inverse in parts], axis=1), axis=0, return_inverse=True)
    labels = tuple(" ".join(_shown(parts[i][0][value]) for i, value in enumerate(row)) for row in rows)
    return codes.ravel().astype(np.int64), labels


def safe_key(name: str) -> str:
    """A name that can stand behind ``train_``."""
    key = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "column"
    return f"trial_{key}" if key in TAKEN else key


def _sortable(values: Shaped[np.ndarray, " B"]) -> Shaped[np.ndarray, " B"]:
    return values.astype(str) if values.dtype.kind == "O" else values


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
