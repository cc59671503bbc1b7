"""Few-shot co-smoothing: read-outs of held-out channels, learnt anew from the factors of a few training trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_std.metrics.poisson_regression import fit_poisson
from lfads_plugins_std.metrics.ridge import contiguous_folds
from lfads_plugins_std.metrics.spikes import bits_per_spike

DRAWS = 5
"""Random sets of training trials; the score is their mean."""

PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Penalties of the weights that are tried, for standardised factors."""

FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Scores of held-out channels read from the factors of ``trials`` training trials; or why there are none."""

    trials: int
    co_bps: float | None = None  # mean over draws
    spread: float | None = None  # standard deviation over draws
    penalty: float | None = None
    why_not: str = ""


def few_shot(recorded: Recorded, trials: int, rng: np.random.Generator, split: str = "valid") -> FewShot:
    """Poisson regression on standardised factors, fitted to each of five draws of ``trials`` training trials.

    Its penalty is the one that predicts left-out trials of the first draw best (left-out bins, if it is a single trial).

    A model whose factors hold more than the dynamics needs more trials to be read. The held-out channels took part in training,
    as targets; their read-outs do not take part here. Source: Dabholkar and Barak 2024 (arXiv:2405.14425), with a penalty of our own.
    """
    splits = recorded.session.splits
    if "train" not in splits or split not in splits:
        return FewShot(trials=trials, why_not=f"there must be training and {split} trials")
    if recorded.support != "counts" or not recorded.is_rate:
        return FewShot(trials=trials, why_not="bits per spike need counts")
    train, test = splits["train"], splits[split]
    bins, channels = train.encod.shape[1:]
    if not train.nested or channels == train.recon.shape[2]:
        return FewShot(trials=trials, why_not="no channels are held out (lfads run --hold-out 0.25)")
    available = train.recon.shape[0]
    if trials > available:
        return FewShot(trials=trials, why_not=f"there are only {available} training trials")
    factors = train.extras["factors"][:, :bins].astype(np.float64)
    centre, spread = factors.mean(axis=(0, 1)), factors.std(axis=(0, 1))
    scale = np.where(spread > 0, spread, 1.0)
    inputs, tests = (factors - centre) / scale, (test.extras["factors"][:, :bins] - centre) / scale
    scores, penalty = [], None
    for _ in range(DRAWS):
        rows = rng.choice(available, size=trials, replace=False)
        x, counts = inputs[rows].reshape(-1, inputs.shape[2]), train.recon[rows][:, :bins, channels:]
        counts = counts.reshape(-1, counts.shape[2])
        penalty = _best_penalty(x, counts) if penalty is None else penalty
        fit = fit_poisson(x, counts, penalty)
        rates = fit(tests.reshape(-1, tests.shape[2])).reshape(*tests.shape[:2], -1)
        scores.append(bits_per_spike(rates, test.recon[:, :bins, channels:]))
    return FewShot(trials=trials, co_bps=float(np.mean(scores)), spread=float(np.std(scores)), penalty=penalty)


def _best_penalty(x: np.ndarray, counts: np.ndarray) -> float:
    """Across contiguous folds of the rows, which are whole trials but for the ends of folds."""
    costs = dict.fromkeys(PENALTIES, 0.0)
    for test in contiguous_folds(len(x), FOLDS):
        train = np.ones(len(x), dtype=bool)
        train[test] = False
        for penalty in PENALTIES:
            rates = fit_poisson(x[train], counts[train], penalty)(x[test])
            costs[penalty] += float(np.nansum(rates - counts[test] * np.log(rates)))
    return min(costs, key=lambda penalty: costs[penalty])
