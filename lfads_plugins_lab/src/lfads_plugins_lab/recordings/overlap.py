"""Long recordings into windows that may overlap, and windows back into one recording."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Real

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.windows import first_bins

Blend = Literal["linear", "uniform", "centre"]
BLENDS: tuple[Blend, ...] = ("linear", "uniform", "centre")


def chop(values: Real[np.ndarray, "T ..."], window: int, overlap: int) -> tuple[Real[np.ndarray, "W t ..."], Int[np.ndarray, " W"]]:
    """Windows of ``window`` bins, neighbours sharing ``overlap``, and the first bin of each; the last window ends with the recording.

    Raises:
        DataError: the window is longer than the recording, or no longer than the overlap.
    """
    if not 0 <= overlap < window <= len(values):
        raise DataError(
            f"chop: must have 0 <= overlap < window <= bins, got an overlap of {overlap}, a window of {window} and {len(values)} bins. Change them."
        )
    first = first_bins(len(values), window, overlap)
    return values[first[:, None] + np.arange(window)], first


def merge(windows: Real[np.ndarray, "W t ..."], first: Int[np.ndarray, " W"], bins: int, blend: Blend = "linear") -> Float[np.ndarray, "T ..."]:
    """Weighted mean of all windows that cover a bin; a value that is NaN has no weight, and a bin that nothing covers is NaN.

        m_1 = x_1,   m_k = m_{k-1} + (x_k - m_{k-1}) w_k / (w_1 + ... + w_k)

    so that windows that agree give exactly what they agree on, whatever they weigh. Weights: ``linear`` falls from the middle of a
    window to its ends (a cross-fade), ``uniform`` is the plain mean, ``centre`` takes the window in which the bin is farthest from an end
    (of two equal ones the earlier).

    Raises:
        DataError: a window does not lie within the recording.
    """
    length = windows.shape[1]
    if len(windows) != len(first) or (len(first) and (first.min() < 0 or first.max() + length > bins)):
        raise DataError(f"merge: {len(first)} windows of {length} bins must lie within {bins} bins, got some that do not. Check their first bins.")
    merged = np.full((bins, *windows.shape[2:]), np.nan)
    total = np.zeros(merged.shape)
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
    weight = np.ones(length) if blend == "uniform" else distance
    for row in np.argsort(first, kind="stable"):
        at = slice(int(first[row]), int(first[row]) + length)
        new, old = np.asarray(windows[row], dtype=np.float64), merged[at]
        mine = np.where(np.isnan(new), 0.0, weight.reshape(-1, *[1] * (new.ndim - 1)))
        if blend == "centre":
            better = mine > total[at]
            merged[at], total[at] = np.where(better, new, old), np.maximum(mine, total[at])
            continue
        total[at] += mine
        share = np.divide(mine, total[at], out=np.zeros(mine.shape), where=mine > 0)
        with np.errstate(invalid="ignore"):  # infinity minus itself, which agrees with itself
            mixed = old + (new - old) * share
        merged[at] = np.where(np.isnan(new), old, np.where(np.isnan(old) | (new == old), new, mixed))
    return merged
