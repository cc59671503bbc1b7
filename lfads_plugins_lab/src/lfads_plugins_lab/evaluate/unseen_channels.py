"""Held-out channels and later bins predicted from the seen ones by ridge regression, penalties chosen across folds of training trials."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_std.metrics.ridge import fit_ridge_cv
from lfads_plugins_std.metrics.spikes import channel_means

PENALTIES = tuple(float(a) for a in np.logspace(0, 5, 11))
"""Ridge penalties tried, for standardised regressors."""

LEAST = 0.05
"""Least predicted rate, as a share of the channel's mean; negative ones make no sense."""


def predict_unseen(e: Evaluation, train: Evaluation, smoothed: Callable[[np.ndarray], np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For the split and for the training trials: held-out channels in the seen bins (B, Te, N - Ne), and all channels in later bins.

    Held-out channels are regressed on the smoothed seen channels of the same bin, later bins on those of the last seen bin.
    """
    bins, channels = e.encod_bins, e.encod_channels
    seen = [smoothed(part.data[:, :bins, :channels]) for part in (e, train)]
    centre, spread = seen[1].mean(axis=(0, 1)), seen[1].std(axis=(0, 1))
    seen = [(values - centre) / np.where(spread > 0, spread, 1.0) for values in seen]
    held_out = _regress(seen, train.data[:, :bins, channels:], e)
    last = [values[:, -1] for values in seen]
    later = _regress(last, train.data[:, bins:].reshape(len(train.data), -1), e)
    return [(one, two.reshape(len(values), -1, e.data.shape[2])) for one, two, values in zip(held_out, later, seen, strict=True)]


def _regress(inputs: list[np.ndarray], target: np.ndarray, e: Evaluation) -> list[np.ndarray]:
    """Predictions for each of the inputs; the last of them goes with the target."""
    width = target.shape[-1]
    if not target.size:
        return [np.zeros((*values.shape[:-1], width)) for values in inputs]
    means = channel_means(target)
    x, y = inputs[-1].reshape(-1, inputs[-1].shape[-1]), target.reshape(-1, width).astype(np.float64)
    y = np.where(np.isnan(y), np.nan_to_num(means), y)
    if len(x) < 5:
        return [np.broadcast_to(np.nan_to_num(means), (*values.shape[:-1], width)).copy() for values in inputs]
    fit = fit_ridge_cv(x, y, PENALTIES)
    found = [fit(values.reshape(-1, values.shape[-1])).reshape(*values.shape[:-1], width) for values in inputs]
    return [guess if e.support == "real" else np.maximum(guess, LEAST * np.nan_to_num(means)) for guess in found]
