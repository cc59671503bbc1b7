"""Smoothed data to decode behaviour from: the width that predicts neighbouring bins best is far from the best for what moves slowly."""

from __future__ import annotations

import math

import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate.kernels import smoother, widths
from lfads_plugins_lab.evaluate.unseen_channels import PENALTIES, of_trials, standardised
from lfads_plugins_std.metrics.behaviour import folds_of_trials, lag_pair
from lfads_plugins_std.metrics.offered import LAG_ALPHA, behaviour_of, lags_in_bins
from lfads_plugins_std.metrics.r2 import r2_per_channel
from lfads_plugins_std.metrics.ridge import fit_ridge_path
from lfads_plugins_std.metrics.spikes import channel_means

LAGS_MS = (0, 100)
"""Lags at which widths are compared; the one that counts is chosen afterwards, as for every prediction."""

MOST_TRIALS = 100
"""Training trials by which widths are compared, evenly spaced."""

FOLDS = 5


def smoothed_for_behaviour(e: Evaluation, train: Evaluation) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Seen channels (B, T, Ne) of the split and of the training trials, smoothed and standardised, and the width in bins; None without behaviour.

    Width and penalty are those by which behaviour is decoded best across folds of training trials. The values' scale is such that this penalty is
    the middle one of those that decoding tries. Bins that are not seen have what the last seen one has.
    """
    behaviour = behaviour_of(train)
    if behaviour is None or len(behaviour) < FOLDS:
        return None
    some = slice(None, None, max(1, -(-len(behaviour) // MOST_TRIALS)))
    fewer = of_trials(train, some)
    lags = [0] if e.bin_ms is None else sorted(set(lags_in_bins(e.bin_ms, e.data.shape[1])).intersection(round(ms / e.bin_ms) for ms in LAGS_MS))
    found = []
    for width in widths(e.bin_ms, e.encod_bins):
        values = _prepared(fewer, fewer, width)[0]
        for lag in lags:
            found += [(score, penalty, width) for penalty, score in zip(PENALTIES, _reached(values, behaviour[some], lag), strict=True)]
    _, penalty, width = max(found)
    own, theirs = (values * math.sqrt(LAG_ALPHA / penalty) for values in _prepared(e, train, width))
    return own, theirs, width


def _prepared(e: Evaluation, train: Evaluation, width: float) -> list[np.ndarray]:
    smoothed = smoother(width, channel_means(train.data[:, : e.encod_bins, : e.encod_channels]))
    later = e.data.shape[1] - e.encod_bins
    return [np.concatenate([values, np.repeat(values[:, -1:], later, axis=1)], axis=1) for values in standardised(e, train, smoothed)]


def _reached(values: np.ndarray, behaviour: np.ndarray, lag: int) -> list[float]:
    """R2 of each penalty across folds of trials, mean over the dimensions of behaviour; -inf where there is none."""
    guesses: list[list[np.ndarray]] = [[] for _ in PENALTIES]
    targets = []
    for (known, target), (tested, held) in folds_of_trials(*lag_pair(values, behaviour, lag), FOLDS):
        if not len(known):
            return [-math.inf] * len(PENALTIES)
        for of, fit in zip(guesses, fit_ridge_path(known, target, PENALTIES), strict=True):
            of.append(fit(tested))
        targets.append(held)
    scores = [r2_per_channel(np.concatenate(of), np.concatenate(targets)) for of in guesses]
    return [float(np.nanmean(each)) if np.isfinite(each).any() else -math.inf for each in scores]
