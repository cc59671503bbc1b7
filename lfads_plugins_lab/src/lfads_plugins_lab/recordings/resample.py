"""A signal at a rate of its own, brought to the bins of the windows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfads_plugins_lab.recordings.raw import Series


def resample(
    series: Series, starts: Float[np.ndarray, " B"], bins: int, width: float, max_gap: float, *, period: float | None = None
) -> Float[np.ndarray, "B T K"]:
    """Mean of the signal over each bin, the signal running straight from sample to sample.

    So a bin has the signal's value at its middle where that is straight, however fast it was sampled; a mean of the samples in a bin
    is late by half a sample. Samples that are NaN count as not there, and nothing runs across gaps longer than ``max_gap`` seconds: bins
    that reach into one, or beyond the ends, have the mean of the samples they hold, and NaN where they hold none; a bin that the first or
    last sample before a gap stands in is filled to its edge by at most one sample's step.

    Samples that stand for a bin each have been averaged already: only their mean is taken, and what runs straight are gaps between them.

    With a ``period`` (of angles, 360 or 2 pi) the signal goes round: what is averaged is its way, and values come back into the range of
    the samples, from 0 or from minus half a period.
    """
    edges = starts[:, None] + np.arange(bins + 1) * width
    columns = []
    for values in series.values.T:
        known = np.isfinite(values)
        way = np.unwrap(values[known], period=period) if period is not None and known.any() else values[known]
        mean = _means(series.times[known], way, edges, width, max_gap, series.binned)
        if period is not None:
            low = 0.0 if (values[known] >= 0).all() else -period / 2
            mean = (mean - low) % period + low
        columns.append(mean)
    return np.stack(columns, axis=-1).reshape(len(starts), bins, series.values.shape[1])


def _means(
    times: Float[np.ndarray, " s"], seen: Float[np.ndarray, " s"], edges: Float[np.ndarray, "B T1"], width: float, max_gap: float, binned: bool
) -> Float[np.ndarray, " n"]:
    low, high = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    if not seen.size:
        return np.full(low.size, np.nan)
    centre = seen.mean()  # sums of small numbers lose less
    values = seen - centre
    slack = 1e-6 * width
    at, end = np.searchsorted(times, low - slack), np.searchsorted(times, high - slack)
    count = end - at
    total = np.concatenate([[0.0], np.cumsum(values)])
    of_samples = np.divide(total[end] - total[at], count, out=np.full(low.size, np.nan), where=count > 0)
    if times.size < 2:
        samples: np.ndarray = of_samples + centre
        return samples
    steps = np.diff(times)
    joined = steps <= max_gap * (1 + 1e-9)
    run = np.concatenate([[0], np.cumsum(~joined)])  # samples with no long gap between them
    first, last = np.searchsorted(run, run), np.searchsorted(run, run, side="right") - 1
    nearest = np.where(count > 0, at, np.clip(np.searchsorted(times, (low + high) / 2) - 1, 0, None)).clip(0, times.size - 1)
    a, b = first[nearest], last[nearest]
    reach = np.where(count > 0, min(float(np.median(steps)), max_gap), 0.0) + slack  # beyond the run's own samples
    straight = (b > a) & (low >= times[a] - reach) & (high <= times[b] + reach)
    if binned:
        straight &= count == 0
    area = np.concatenate([[0.0], np.cumsum(steps * (values[1:] + values[:-1]) / 2)])
    slope = np.diff(values) / steps

    def up_to(edge: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Area under the signal, as far as ``edge``; past a run's ends it goes on as straight as it came."""
        k = (np.searchsorted(times, edge, side="right") - 1).clip(a, np.maximum(b - 1, a)).clip(0, times.size - 2)
        beyond = edge - times[k]
        whole: np.ndarray = area[k] + beyond * (values[k] + slope[k] * beyond / 2)
        return whole

    means: np.ndarray = np.where(straight, (up_to(high) - up_to(low)) / (high - low), of_samples) + centre
    return means
