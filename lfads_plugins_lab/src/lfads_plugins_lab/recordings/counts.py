"""Events into bins, bins into wider bins."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import Reduce

_EPSILON = 1e-6  # of a bin: a time that is this little before an edge stands on it
_MOST = 1e-2


def bin_events(
    times: Float[np.ndarray, " n"], starts: Float[np.ndarray, " B"], bins: int, width: float, resolution: float = 0.0
) -> Float[np.ndarray, "B T"]:
    """Number of events in each bin [start + t width, start + (t + 1) width); ``times`` must rise, windows may overlap.

    ``resolution`` is what the clock's digits leave open: a time that is less before an edge stands on it.
    """
    slack = min(max(_EPSILON, 1.01 * resolution / width), _MOST)
    low = np.searchsorted(times, starts - width)
    high = np.searchsorted(times, starts + (bins + 1) * width)
    count = high - low
    window = np.repeat(np.arange(len(starts)), count)
    event = np.arange(count.sum()) + np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
    at = np.floor((times[event] - starts[window]) / width + slack).astype(np.int64)
    keep = (at >= 0) & (at < bins)
    return np.bincount(window[keep] * bins + at[keep], minlength=len(starts) * bins).reshape(len(starts), bins).astype(np.float64)


def observed_bins(intervals: Float[np.ndarray, "n 2"], starts: Float[np.ndarray, " B"], bins: int, width: float) -> Bool[np.ndarray, "B T"]:
    """Whether each bin lies within the intervals (s), which may touch, overlap and come in any order."""
    low = starts[:, None] + np.arange(bins) * width
    if not len(intervals):
        return np.zeros(low.shape, dtype=bool)
    slack = _EPSILON * width
    begin, end = intervals[np.argsort(intervals[:, 0], kind="stable")].T
    reach = np.maximum.accumulate(end)
    first = np.concatenate([[True], begin[1:] > reach[:-1] + slack])  # nothing before reaches it
    begin, end = begin[first], reach[np.append(np.flatnonzero(first)[1:] - 1, len(reach) - 1)]
    at = np.searchsorted(begin, low + slack, side="right") - 1
    seen: np.ndarray = (at >= 0) & (low + width <= end[at.clip(0)] + slack)
    return seen


def widening(have_ms: float, want_ms: float, where: str) -> int:
    """How many bins of the source make one of those wanted.

    Raises:
        DataError: not a whole number of them.
    """
    factor = want_ms / have_ms
    if not math.isfinite(factor) or factor < 1 - 1e-6 or abs(factor - round(factor)) > 1e-6:
        choice = have_ms * max(round(factor), 1) if math.isfinite(factor) else have_ms
        raise DataError(f"{where}: new bins must be whole multiples of the {have_ms:g} ms that are there, got {want_ms:g} ms. Choose {choice:g}.")
    return round(factor)


def rebin(values: Float[np.ndarray, "B T *K"], factor: int, reduce: Reduce) -> Float[np.ndarray, "B t *K"]:
    """Sum or average ``factor`` bins at a time; bins after the last whole one are dropped, and a bin with NaN in it is NaN."""
    bins = values.shape[1] // factor
    parts = values[:, : bins * factor].reshape(len(values), bins, factor, *values.shape[2:])
    whole: np.ndarray = parts.sum(axis=2) if reduce == "sum" else parts.mean(axis=2)
    return whole
