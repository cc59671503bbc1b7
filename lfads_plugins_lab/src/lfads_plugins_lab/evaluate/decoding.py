"""Smoothed data to decode behaviour from: the width that predicts neighbouring bins best is far too narrow for what moves slowly."""

from __future__ import annotations

import math

import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate.kernels import widths
from lfads_plugins_std.metrics.behaviour import decode_within
from lfads_plugins_std.metrics.offered import LAG_ALPHA, behaviour_of, lags_in_bins
from lfads_plugins_std.metrics.smooth import smooth
from lfads_plugins_std.metrics.spikes import channel_means

LAGS_MS = (0, 100, 200)
"""Lags at which widths are compared; the one that counts is chosen afterwards, as for every prediction."""

MOST_TRIALS = 100
"""Training trials by which widths are compared, evenly spaced."""


def smoothed_for_behaviour(e: Evaluation, train: Evaluation) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Seen channels (B, T, Ne) of the split and of the training trials, smoothed, and the width in bins; None without behaviour.

    The width is the one from which behaviour is decoded best across folds of training trials. Bins that are not seen have what the last seen
    one has.
    """
    behaviour = behaviour_of(train)
    if behaviour is None:
        return None
    some = slice(None, None, max(1, -(-len(behaviour) // MOST_TRIALS)))
    lags = [0] if e.bin_ms is None else sorted(set(lags_in_bins(e.bin_ms, e.data.shape[1])).intersection(round(ms / e.bin_ms) for ms in LAGS_MS))

    def reached(width: float) -> float:
        values = _smoothed(train, width, some)
        scores = [decode_within(values, behaviour[some], lag, alphas=(LAG_ALPHA,)) for lag in lags]
        return max(float(of.mean()) if (of := each[~np.isnan(each)]).size else -math.inf for each in scores)

    best = max(widths(e.bin_ms, e.encod_bins), key=reached)
    return _smoothed(e, best), _smoothed(train, best), best


def _smoothed(e: Evaluation, width: float, rows: slice = slice(None)) -> np.ndarray:
    seen = e.data[rows, : e.encod_bins, : e.encod_channels]
    values = smooth(seen, width)
    filled = np.where(np.isnan(values), np.nan_to_num(channel_means(seen)), values)
    return np.concatenate([filled, np.repeat(filled[:, -1:], e.data.shape[1] - e.encod_bins, axis=1)], axis=1)
