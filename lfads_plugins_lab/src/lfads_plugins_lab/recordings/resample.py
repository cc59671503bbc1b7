"""A signal at a rate of its own, brought to the bins of the windows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfads_plugins_lab.recordings.raw import Series


def resample(series: Series, starts: Float[np.ndarray, " B"], bins: int, width: float, max_gap: float) -> Float[np.ndarray, "B T K"]:
    """Mean of the samples in each bin; a bin without any is interpolated at its middle.

    Samples that are NaN count as not there. Interpolation is linear between samples at most ``max_gap`` seconds apart; across longer
    gaps and beyond the ends a bin is NaN.
    """
    edges = starts[:, None] + np.arange(bins + 1) * width
    middles = (edges[:, :-1] + width / 2).ravel()
    columns = []
    for values in series.values.T:
        known = np.isfinite(values)
        times, seen = series.times[known], values[known]
        if not seen.size:
            columns.append(np.full(middles.size, np.nan))
            continue
        centre = seen.mean()  # sums of small numbers lose less
        total = np.concatenate([[0.0], np.cumsum(seen - centre)])
        at = np.searchsorted(times, edges.ravel() - 1e-6 * width).reshape(edges.shape)
        count = np.diff(at, axis=1).ravel()
        added = np.diff(total[at], axis=1).ravel()
        mean = np.divide(added, count, out=np.zeros(count.size), where=count > 0) + centre
        columns.append(np.where(count > 0, mean, _between(times, seen, middles, max_gap)))
    return np.stack(columns, axis=-1).reshape(len(starts), bins, series.values.shape[1])


def _between(times: Float[np.ndarray, " s"], seen: Float[np.ndarray, " s"], at: Float[np.ndarray, " n"], max_gap: float) -> Float[np.ndarray, " n"]:
    right = np.searchsorted(times, at).clip(1, max(len(times) - 1, 1))
    if len(times) < 2:
        return np.full(at.size, np.nan)
    gap = times[right] - times[right - 1]
    inside = (at >= times[0]) & (at <= times[-1]) & (gap <= max_gap * (1 + 1e-9))
    return np.where(inside, np.interp(at, times, seen), np.nan)
