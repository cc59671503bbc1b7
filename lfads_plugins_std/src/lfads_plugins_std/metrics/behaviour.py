"""What can be told about behaviour from rates: ridge decoding, and speed of the rates against a behavioural measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Real, Shaped

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.r2 import r2_per_channel, r2_score
from lfads_plugins_std.metrics.ridge import ALPHAS, fit_ridge, fit_ridge_cv

FIXED_ALPHA = 0.01
"""Penalty of :func:`velocity_decoding` when it is not searched for."""


def decode(
    train_rates: Real[np.ndarray, "B T N"],
    train_behaviour: Real[np.ndarray, "B T K"],
    valid_rates: Real[np.ndarray, "b T N"],
    valid_behaviour: Real[np.ndarray, "b T K"],
    lag_bins: int = 0,
    alphas: Sequence[float] = ALPHAS,
) -> Float[np.ndarray, " K"]:
    """R2 of each dimension of behaviour ``lag_bins`` after the rates it is decoded from, on the second set of trials.

    Ridge regression from all channels of one bin; its penalty is picked from ``alphas`` by 5-fold cross-validation within the
    first set. Bins with NaN behaviour are left out. Rates in any unit, but the penalty is relative to that unit squared.
    """
    x, y = flatten_known(*lag_pair(train_rates, train_behaviour, lag_bins))
    fit = fit_ridge_cv(x, y, alphas)
    x, y = flatten_known(*lag_pair(valid_rates, valid_behaviour, lag_bins))
    return r2_per_channel(fit(x), y)


def decode_within(
    rates: Real[np.ndarray, "B T N"],
    behaviour: Real[np.ndarray, "B T K"],
    lag_bins: int = 0,
    alphas: Sequence[float] = ALPHAS,
    folds: int = 5,
) -> Float[np.ndarray, " K"]:
    """R2 of each dimension of behaviour when only one set of trials is at hand.

    Trial i belongs to fold i mod ``folds``; each fold is decoded by a fit to the others, then all are scored together.
    NaN when there are fewer trials than folds.
    """
    if len(rates) < folds:
        return np.full(behaviour.shape[-1], np.nan)
    guesses, targets = [], []
    for known, (x_test, y_test) in folds_of_trials(*lag_pair(rates, behaviour, lag_bins), folds):
        fit = fit_ridge_cv(*known, alphas)
        guesses.append(fit(x_test))
        targets.append(y_test)
    return r2_per_channel(np.concatenate(guesses), np.concatenate(targets))


def velocity_decoding(
    train_rates: Real[np.ndarray, "B T N"],
    train_behaviour: Real[np.ndarray, "B T K"],
    train_masks: Shaped[np.ndarray, "..."],
    valid_rates: Real[np.ndarray, "b T N"],
    valid_behaviour: Real[np.ndarray, "b T K"],
    valid_masks: Shaped[np.ndarray, "..."],
    *,
    search: bool = True,
) -> float:
    """Decode behaviour separately within each group of trials (a column of the masks, (trials, groups)); mean R2 over dimensions and groups.

    Without ``search`` the penalty is 0.01. Bins with NaN behaviour are left out.
    Source: Neural Latents Benchmark (arXiv:2109.04463).

    Raises:
        DataError: the masks are not of these trials, or of different groups.
    """
    groups = train_masks.shape[1:]
    if train_masks.shape != (len(train_rates), *groups) or valid_masks.shape != (len(valid_rates), *groups) or len(groups) != 1:
        raise DataError(
            f"decoding: masks must be (trials, groups), of {len(train_rates)} and {len(valid_rates)} trials and the same groups, "
            f"got {train_masks.shape} and {valid_masks.shape}."
        )
    scores = []
    for train_mask, valid_mask in zip(train_masks.T.astype(bool), valid_masks.T.astype(bool), strict=True):
        x, y = flatten_known(train_rates[train_mask], train_behaviour[train_mask])
        fit = fit_ridge_cv(x, y) if search else fit_ridge(x, y, FIXED_ALPHA)
        x, y = flatten_known(valid_rates[valid_mask], valid_behaviour[valid_mask])
        scores.append(r2_score(fit(x), y))
    return float(np.mean(scores))


def speed_tp_correlation(observed: Real[np.ndarray, "B T n"], rates: Real[np.ndarray, "B T N"], behaviour: Real[np.ndarray, "B K"]) -> float:
    """Correlate how fast rates move with a duration per trial, such as the time produced, averaged over conditions.

    Speed: mean length of the step from one bin to the next, over the bins where ``observed`` has no NaN. Conditions: the
    unique combinations of the first three columns of ``behaviour``; the duration is its last column. Pearson's r within
    each condition, plain mean over conditions; one whose speeds or durations do not vary, such as one of a single trial, is left out, and
    the mean is NaN where all are. Source: Neural Latents Benchmark (arXiv:2109.04463).
    """
    speed = np.empty(len(rates))
    for trial, (path, seen) in enumerate(zip(rates, ~np.isnan(observed).any(axis=-1), strict=True)):
        speed[trial] = np.linalg.norm(np.diff(path[seen], axis=0), axis=1).mean()
    conditions = np.unique(behaviour[:, :3], axis=0)
    members = [(behaviour[:, :3] == condition).all(axis=1) for condition in conditions]
    varied = [m for m in members if np.ptp(speed[m]) > 0 and np.ptp(behaviour[m, -1]) > 0]
    return float(np.mean([np.corrcoef(speed[m], behaviour[m, -1])[0, 1] for m in varied])) if varied else np.nan


def lag_pair(
    rates: Real[np.ndarray, "B T N"], behaviour: Real[np.ndarray, "b s K"], lag_bins: int
) -> tuple[Real[np.ndarray, "B t N"], Real[np.ndarray, "B t K"]]:
    """Pair the rates of bin t with behaviour of bin t + lag (earlier behaviour for a negative lag)."""
    bins = rates.shape[1]
    if rates.shape[:2] != behaviour.shape[:2] or abs(lag_bins) >= bins:
        raise DataError(
            f"decoding: behaviour must be (trials, bins, dimensions) for rates {rates.shape} and the lag shorter than a trial, "
            f"got {behaviour.shape} and {lag_bins} bins."
        )
    if lag_bins >= 0:
        return rates[:, : bins - lag_bins], behaviour[:, lag_bins:]
    return rates[:, -lag_bins:], behaviour[:, : bins + lag_bins]


Bins = tuple[np.ndarray, np.ndarray]
"""Rates (n, N) and behaviour (n, K) of bins whose behaviour is known."""


def folds_of_trials(rates: Real[np.ndarray, "B T N"], behaviour: Real[np.ndarray, "B T K"], folds: int) -> Iterator[tuple[Bins, Bins]]:
    """For each fold the bins of the other trials, and its own; trial i belongs to fold i mod ``folds``."""
    fold = np.arange(len(rates)) % folds
    for k in range(folds):
        yield flatten_known(rates[fold != k], behaviour[fold != k]), flatten_known(rates[fold == k], behaviour[fold == k])


def flatten_known(
    rates: Real[np.ndarray, "B T N"], behaviour: Real[np.ndarray, "B T K"]
) -> tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n K"]]:
    """Stack the bins of all trials, leaving out those with NaN behaviour."""
    y = np.asarray(behaviour, dtype=np.float64).reshape(-1, behaviour.shape[-1])
    x = np.asarray(rates, dtype=np.float64).reshape(-1, rates.shape[-1])
    known = ~np.isnan(y).any(axis=1)
    return x[known], y[known]
