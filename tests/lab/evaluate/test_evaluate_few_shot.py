"""Few-shot co-smoothing against scikit-learn's Poisson regression, draw by draw."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import KFold

from lfads_core.data.session import Session, Split
from lfads_plugins_lab.evaluate.few_shot import DRAWS, PENALTIES, FewShot, few_shot
from lfads_plugins_lab.evaluate.recorded import Recorded


def split(seed, trials, *, bins=11, encod_bins=9, seen=4, channels=7, nested=True, gaps=False, strength=0.5):
    """Counts driven by two of three factors, the third of which never changes; the factors go on after the last bin that is seen."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(trials, bins, 3)) * [0.5, 3.0, 0.0] + [1.0, -4.0, 2.0]
    weights = np.random.default_rng(77).normal(size=(3, channels)) * strength
    counts = rng.poisson(np.exp(((factors - [1.0, -4.0, 2.0]) / [0.5, 3.0, 1.0]) @ weights + 0.3)).astype(np.float32)
    if gaps:
        counts[rng.random(counts.shape) < 0.1] = np.nan
    encod = np.ascontiguousarray(np.nan_to_num(counts[:, :encod_bins, :seen]))
    extras = {"factors": factors.astype(np.float32)}
    return Split(encod=encod, recon=counts, external=np.zeros((trials, bins, 0), np.float32), nested=nested, extras=extras)


def recorded(support="counts", is_rate=True, **splits):
    return Recorded(session=Session(name="a", path=None, splits=splits), support=support, is_rate=is_rate)


def fitted(x, counts, penalty):
    """Maximum of the likelihood less penalty / 2 |w|^2, channel by channel, over the rows where it was observed; its predictions."""
    fits = []
    for k in counts.T:
        known = ~np.isnan(k)
        fits.append(PoissonRegressor(alpha=penalty / known.sum(), solver="newton-cholesky", tol=1e-10).fit(x[known], k[known]))
    return lambda z: np.stack([fit.predict(z) for fit in fits], axis=1)


def bits(rates, counts):
    """Bits per spike over what was observed, against each channel's mean."""
    null = np.broadcast_to(np.nanmean(counts.reshape(-1, counts.shape[-1]), axis=0), counts.shape)
    return np.nansum(counts * np.log(rates / null) - rates + null - 0 * counts) / np.nansum(counts) / np.log(2)


def by_hand(train, test, trials, rng):
    """Scores of the draws, and the penalty that is best in each."""
    bins, seen = train.encod.shape[1:]
    factors = train.extras["factors"].astype(float)[:, :bins]
    centre, spread = factors.mean((0, 1)), factors.std((0, 1))
    spread[2] = 1.0  # of the factor that never changes
    scores, penalties = [], []
    for _ in range(5):
        rows = rng.choice(len(factors), size=trials, replace=False)
        x = ((factors[rows] - centre) / spread).reshape(-1, 3)
        counts = train.recon[rows, :bins, seen:].reshape(len(x), -1).astype(float)
        costs = {}
        for penalty in PENALTIES:
            parts = [(fitted(x[some], counts[some], penalty)(x[left]), counts[left]) for some, left in KFold(3).split(x)]
            costs[penalty] = sum(np.nansum(rates - k * np.log(rates)) for rates, k in parts)
        penalties.append(min(costs, key=costs.get))
        z = (test.extras["factors"][:, :bins].astype(float) - centre) / spread
        rates = fitted(x, counts, penalties[0])(z.reshape(-1, 3)).reshape(*z.shape[:2], -1)
        scores.append(bits(rates, test.recon[:, :bins, seen:].astype(float)))
    return scores, penalties


@pytest.mark.parametrize(("seed", "trials", "strength"), [(0, 4, 0.5), (1, 3, 0.2), (3, 1, 0.2)])
def test_scores_are_those_of_five_draws_with_the_penalty_that_is_best_for_the_first(seed, trials, strength):
    train, test = split(seed, 14, gaps=strength > 0.2, strength=strength), split(seed + 50, 8, gaps=True, strength=strength)
    found = few_shot(recorded(train=train, valid=test), trials, np.random.default_rng(8))
    scores, penalties = by_hand(train, test, trials, np.random.default_rng(8))
    assert len(scores) == DRAWS
    assert strength > 0.2 or penalties[0] != penalties[-1]  # the last draw would have another
    assert (found.trials, found.penalty, found.why_not) == (trials, penalties[0], "")
    assert found.co_bps == pytest.approx(np.mean(scores), rel=1e-4, abs=1e-5)
    assert found.spread == pytest.approx(np.std(scores), rel=1e-3)


def test_validation_trials_are_scored_unless_others_are_asked_for():
    splits = {"train": split(0, 6), "valid": split(1, 5), "test": split(2, 9)}
    given = few_shot(recorded(**splits), 3, np.random.default_rng(0))
    assert given == few_shot(recorded(**splits), 3, np.random.default_rng(0), "valid")
    swapped = {"train": splits["train"], "valid": splits["test"]}
    assert few_shot(recorded(**splits), 3, np.random.default_rng(0), "test") == few_shot(recorded(**swapped), 3, np.random.default_rng(0))


def test_all_training_trials_can_be_taken_and_then_every_draw_is_the_same():
    found = few_shot(recorded(train=split(0, 6), valid=split(1, 5)), 6, np.random.default_rng(0))
    assert found.spread == pytest.approx(0, abs=1e-6)
    assert found.co_bps is not None


@pytest.mark.parametrize(
    ("more", "splits", "trials", "why_not"),
    [
        ({}, {"train": split(0, 6)}, 2, "there must be training and valid trials"),
        ({}, {"valid": split(0, 6)}, 2, "there must be training and valid trials"),
        ({"support": "real"}, {"train": split(0, 6), "valid": split(1, 5)}, 2, "bits per spike need counts"),
        ({"is_rate": False}, {"train": split(0, 6), "valid": split(1, 5)}, 2, "bits per spike need counts"),
        ({}, {"train": split(0, 6, seen=7), "valid": split(1, 5, seen=7)}, 2, "no channels are held out (lfads run --hold-out 0.25)"),
        ({}, {"train": split(0, 6, nested=False), "valid": split(1, 5, nested=False)}, 2, "no channels are held out (lfads run --hold-out 0.25)"),
        ({}, {"train": split(0, 6), "valid": split(1, 5)}, 7, "there are only 6 training trials"),
    ],
)
def test_what_cannot_be_scored_says_why(more, splits, trials, why_not):
    assert few_shot(recorded(**more, **splits), trials, np.random.default_rng(0)) == FewShot(trials=trials, why_not=why_not)
