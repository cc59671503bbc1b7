"""Held-out channels and later bins predicted from the seen ones by regression, chosen by what it predicts of training trials left out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_std.metrics.poisson_regression import PoissonRegression, fit_poisson
from lfads_plugins_std.metrics.ridge import fit_ridge_cv
from lfads_plugins_std.metrics.spikes import channel_means

PENALTIES = tuple(float(a) for a in np.logspace(0, 5, 11))
"""Ridge penalties tried, for standardised regressors."""

POISSON_PENALTIES = tuple(float(a) for a in np.logspace(0.5, 4.5, 9))
"""Penalties of the Poisson regression, likewise."""

MOST_WORK = 1e10
"""Products in a Newton step of the Poisson regressions, which bounds the bins they are fitted to, evenly spaced."""

ROWS = (4000, 20000)
"""Bins that they are fitted to, at least and at most, if there are so many."""

MOST_TRIALS = 400
"""Training trials by which widths and penalties are chosen, evenly spaced."""

LEAST = 0.05
"""Least predicted rate, as a share of the channel's mean; negative ones make no sense."""

Smoother = Callable[[np.ndarray], np.ndarray]
Price = Callable[[np.ndarray, np.ndarray, Evaluation], float]
Unseen = tuple[np.ndarray, np.ndarray]
"""Held-out channels in the seen bins (B, Te, N - Ne), and all channels in later bins (B, T - Te, N)."""


def has_unseen(e: Evaluation) -> bool:
    """Whether anything is reconstructed that the model does not see."""
    _, bins, channels = map(int, e.data.shape)
    return channels > e.encod_channels or bins > e.encod_bins


def truth_of(e: Evaluation) -> Unseen:
    """What is to be predicted."""
    return e.data[:, : e.encod_bins, e.encod_channels :], e.data[:, e.encod_bins :]


def of_trials(e: Evaluation, some: slice | np.ndarray) -> Evaluation:
    """Some of the trials, without whatever else is known of each."""
    return replace(e, data=e.data[some], means=e.means[some], extras={})


def left_out(train: Evaluation) -> tuple[Evaluation, Evaluation] | None:
    """A fifth of the training trials, and the others; None if there are too few."""
    rows = np.arange(0, len(train.data), max(1, -(-len(train.data) // MOST_TRIALS)))
    if len(rows) < 5:
        return None
    out = np.arange(len(rows)) % 5 == 4
    return of_trials(train, rows[out]), of_trials(train, rows[~out])


def cheapest(
    candidates: Sequence[float],
    train: Evaluation,
    predict: Callable[[float, Evaluation, Evaluation], Unseen],
    price: Price,
    least: Callable[..., float] = min,
) -> float:
    """The candidate whose predictions of left-out training trials cost least, as ``least`` finds it; the first if nothing can be left out."""
    parts = left_out(train)
    if parts is None or len(candidates) == 1:
        return candidates[0]
    e, rest = parts

    def cost(candidate: float) -> float:
        pairs = zip(predict(candidate, e, rest), truth_of(e), strict=True)
        return sum(price(guess, target, e) * target.size for guess, target in pairs if target.size)

    return least(candidates, key=cost)


def downhill(candidates: Sequence[float], *, key: Callable[[float], float]) -> float:
    """As ``min``, of candidates in order whose keys have one valley: from the middle on, as long as the next one's is less."""
    at = len(candidates) // 2
    least = key(candidates[at])
    for step in (1, -1):
        began = at
        while 0 <= at + step < len(candidates) and (next_key := key(candidates[at + step])) < least:
            at, least = at + step, next_key
        if at != began:
            break
    return candidates[at]


def predict_unseen(e: Evaluation, train: Evaluation, smoothed: Smoother) -> list[Unseen]:
    """By ridge regression, for the split and for the training trials; the penalty is chosen across folds of bins.

    Held-out channels are regressed on the smoothed seen channels of the same bin, later bins on those of the last seen bin.
    """
    seen = standardised(e, train, smoothed)
    held_out = _regress(seen, truth_of(train)[0], e)
    later = _regress([values[:, -1] for values in seen], truth_of(train)[1].reshape(len(train.data), -1), e)
    return [(one, two.reshape(len(values), -1, e.data.shape[2])) for one, two, values in zip(held_out, later, seen, strict=True)]


def predict_counts(e: Evaluation, train: Evaluation, smoothed: Smoother, penalty: float, share: float = 1.0) -> list[Unseen]:
    """By Poisson regression, likewise; no rate is above the largest count of the channel's training trials.

    ``share`` of the bins that are affordable are fitted to.
    """
    seen = standardised(e, train, smoothed)
    inputs = [seen, [values[:, -1] for values in seen]]
    found: list[list[np.ndarray]] = []
    for values, target in zip(inputs, truth_of(train), strict=True):
        width = int(np.prod(target.shape[values[0].ndim - 1 :]))
        if not target.size:
            found.append([np.zeros((*part.shape[:-1], width)) for part in values])
            continue
        x, y = values[1].reshape(-1, values[1].shape[-1]), target.reshape(-1, width)
        affordable = share * float(np.clip(MOST_WORK / (x.shape[1] ** 2 * width), *ROWS))
        every = slice(None, None, max(1, math.ceil(len(x) / affordable)))
        found.append([_rates(fit_poisson(x[every], y[every], penalty), part, np.nanmax(np.nan_to_num(y), axis=0)) for part in values])
    return [(one, two.reshape(len(part), -1, e.data.shape[2])) for one, two, part in zip(*found, seen, strict=True)]


def standardised(e: Evaluation, train: Evaluation, smoothed: Smoother) -> list[np.ndarray]:
    """Smoothed seen channels of the split and of the training trials, by mean and spread of the latter."""
    seen = [smoothed(part.data[:, : e.encod_bins, : e.encod_channels]) for part in (e, train)]
    centre, spread = seen[1].mean(axis=(0, 1)), seen[1].std(axis=(0, 1))
    return [(values - centre) / np.where(spread > 0, spread, 1.0) for values in seen]


def _rates(fit: PoissonRegression, x: np.ndarray, most: np.ndarray) -> np.ndarray:
    rates = fit(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
    bounded: np.ndarray = np.minimum(rates, np.maximum(most, 1.0))
    return bounded


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
