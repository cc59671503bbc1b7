"""What behaviour is decoded from beside a model, against a search written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate import decoding
from lfads_plugins_lab.evaluate.decoding import smoothed_for_behaviour

PENALTIES = 10.0 ** np.arange(0, 5.1, 0.5)


def follows(seed, trials, *, bins=24, encod_bins=20, channels=5, seen=4, lag=2, speed=3, noise=0.5, bin_ms=40.0, key="behavior"):
    """Counts that go with a drive, and behaviour that follows it some bins later."""
    rng = np.random.default_rng(seed)
    drive = np.stack([np.convolve(row, np.ones(speed), "valid")[: bins + 9] for row in rng.normal(size=(trials, bins + 9 + speed))]) / speed**0.5
    weights = np.random.default_rng(5).normal(size=channels)
    data = rng.poisson(np.exp(0.6 * drive[:, 9:, None] * weights + 0.5)).astype(np.float32)
    moved = drive[:, 9 - lag : bins + 9 - lag]
    behaviour = np.stack([moved, -0.5 * moved], axis=2) + noise * rng.normal(size=(trials, bins, 2))
    behaviour[1, 3] = np.nan
    sizes = {"encod_bins": encod_bins, "encod_channels": seen, "support": "counts", "is_rate": True, "bin_ms": bin_ms}
    return Evaluation(session="a", split="valid", means=np.ones(data.shape), data=data, extras={key: behaviour}, **sizes)


def smoothed(data, width):
    """With a Gaussian that ends after four standard deviations; beyond the ends of a trial there is nothing."""
    out = np.empty(data.shape)
    for t in range(data.shape[1]):
        weights = np.exp([-0.5 * ((u - t) / width) ** 2 if abs(u - t) <= np.ceil(4 * width) else -np.inf for u in range(data.shape[1])])
        out[:, t] = np.einsum("u,bun->bn", weights / weights.sum(), data)
    return out


def prepared(e, train, width):
    """Seen channels of each, standardised by the training trials; later bins have what the last seen one has."""
    both = [smoothed(one.data[:, : e.encod_bins, : e.encod_channels].astype(float), width) for one in (e, train)]
    mean, std = both[1].mean(axis=(0, 1)), both[1].std(axis=(0, 1))
    held = [np.concatenate([one, *[one[:, -1:]] * (e.data.shape[1] - e.encod_bins)], axis=1) for one in both]
    return [(one - mean) / std for one in held]


def pairs(values, behaviour, lag, trials):
    """Rows of these trials whose behaviour ``lag`` bins later is known."""
    rows = [(values[b, t], behaviour[b, t + lag]) for b in trials for t in range(values.shape[1]) if 0 <= t + lag < values.shape[1]]
    x, y = (np.array(side) for side in zip(*rows, strict=True))
    return x[~np.isnan(y).any(axis=1)], y[~np.isnan(y).any(axis=1)]


def ridge_guesses(x, y, z):
    """Predictions of ridge regressions by singular values, one for each penalty."""
    u, s, v = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return [(z - x.mean(axis=0)) @ v.T @ ((s / (s**2 + a))[:, None] * (u.T @ (y - y.mean(axis=0)))) + y.mean(axis=0) for a in PENALTIES]


def searched(e, train, widths, lags, every=1):
    """R2 of every width, lag and penalty across five folds of training trials, mean over dimensions."""
    fewer = replace(train, data=train.data[::every], means=train.means[::every])
    behaviour = next(iter(train.extras.values()))[::every]
    numbers, scores = np.arange(len(behaviour)), {}
    for width in widths:
        values = prepared(fewer, fewer, width)[1]
        for lag in lags:
            folds = [[pairs(values, behaviour, lag, numbers[(numbers % 5 == k) == left]) for left in (False, True)] for k in range(5)]
            target = np.concatenate([y for _, (_, y) in folds])
            guesses = [ridge_guesses(x, y, z) for (x, y), (z, _) in folds]
            for penalty, guess in zip(PENALTIES, map(np.concatenate, zip(*guesses, strict=True)), strict=True):
                r2 = 1 - ((guess - target) ** 2).sum(axis=0) / ((target - target.mean(axis=0)) ** 2).sum(axis=0)
                scores[width, lag, penalty] = r2.mean()
    return scores


IN_40_MS = [0.5, 0.75, 1.25, 1.875, 2.5, 3.75, 6.25, 10.0]
"""Widths that are tried in bins of 40 ms."""


@pytest.mark.parametrize(
    ("more", "widths", "lags"),
    [
        ({"lag": 2, "speed": 2}, IN_40_MS, [0, 2]),  # 100 ms is two bins and a half, which is rounded to even
        ({"lag": 0, "speed": 9}, IN_40_MS, [0, 2]),
        ({"lag": 4, "speed": 2, "bin_ms": 25.0, "bins": 6, "encod_bins": 5}, [0.8, 1.2, 2.0], [0]),  # four bins are longer than half a trial
        ({"lag": 4, "speed": 2, "bin_ms": 25.0}, [0.8, 1.2, 2.0, 3.0, 4.0, 6.0, 10.0], [0, 4]),
        ({"lag": 0, "speed": 1, "bin_ms": None, "encod_bins": 24}, [1.0, 2.0, 3.0, 5.0, 8.0, 12.0], [0]),
        ({"lag": 2, "speed": 5, "noise": 4.0, "key": "behaviour"}, IN_40_MS, [0, 2]),
    ],
)
def test_width_and_penalty_are_those_that_decode_behaviour_of_left_out_training_trials_best(more, widths, lags):
    e, train = follows(1, 6, **more), follows(2, 23, **more)
    scores = searched(e, train, widths, lags)
    best, _, penalty = max(scores, key=scores.get)
    own, theirs, width = smoothed_for_behaviour(e, train)
    assert width == pytest.approx(best)
    expected = prepared(e, train, best)
    for found, values, one in zip((own, theirs), expected, (e, train), strict=True):
        assert found.shape == (*one.data.shape[:2], 4)
        np.testing.assert_allclose(found, values * np.sqrt(0.01 / penalty), rtol=1e-6)


def test_of_many_training_trials_some_evenly_spaced_are_compared_by(monkeypatch):
    monkeypatch.setattr(decoding, "MOST_TRIALS", 9)
    more = {"speed": 4, "noise": 1.5}
    e, train = follows(1, 4, **more), follows(3, 26, **more)
    scores = searched(e, train, IN_40_MS, [0, 2], every=3)
    best, _, penalty = max(scores, key=scores.get)
    own, _, width = smoothed_for_behaviour(e, train)
    assert width == best
    np.testing.assert_allclose(own, prepared(e, train, best)[0] * np.sqrt(0.01 / penalty), rtol=1e-6)
    others = searched(e, train, IN_40_MS, [0, 2])
    assert (best, penalty) != (max(others, key=others.get)[0], max(others, key=others.get)[2])  # all of them say otherwise


def test_a_dimension_that_never_changes_says_nothing_about_the_width():
    e, train = follows(1, 4), follows(2, 20)
    still = [
        replace(one, extras={"behavior": np.concatenate([one.extras["behavior"], np.ones((*one.data.shape[:2], 1))], axis=2)}) for one in (e, train)
    ]
    found, without = smoothed_for_behaviour(*still), smoothed_for_behaviour(e, train)
    assert found[2] == without[2]
    np.testing.assert_allclose(found[0], without[0])


def hardly_known(train):
    """Behaviour of two trials, of one of them in the first two bins alone."""
    behaviour = np.full_like(train.extras["behavior"], np.nan)
    behaviour[2, :9], behaviour[4, :2] = train.extras["behavior"][2, :9], train.extras["behavior"][4, :2]
    return behaviour


def hardly_moving(train):
    """Behaviour that changes in the first two bins alone, and is known in two more."""
    bins = np.arange(24)[:, None]
    return np.where(bins < 2, np.nan_to_num(train.extras["behavior"]), np.where(bins < 4, 0.0, np.nan))


@pytest.mark.parametrize("change", [hardly_known, hardly_moving])
def test_a_lag_at_which_nothing_can_be_decoded_does_not_count(change):
    e, train = follows(1, 4), follows(2, 20, lag=0, noise=0.1)
    train = replace(train, extras={"behavior": change(train)})
    scores = searched(e, train, IN_40_MS, [0])
    best, _, penalty = max(scores, key=scores.get)
    own, _, width = smoothed_for_behaviour(e, train)
    assert width == best
    np.testing.assert_allclose(own, prepared(e, train, best)[0] * np.sqrt(0.01 / penalty), rtol=1e-6)
    assert (best, penalty) != (IN_40_MS[-1], PENALTIES[-1])  # what is taken where nothing counts


@pytest.mark.parametrize("known", [0, 1])
def test_where_behaviour_of_too_few_trials_is_known_some_width_is_taken(known):
    e, train = follows(1, 4), follows(2, 20)
    behaviour = np.full_like(train.extras["behavior"], np.nan)
    behaviour[2, : 9 * known] = train.extras["behavior"][2, : 9 * known]
    for one in (behaviour, np.ones_like(behaviour)):  # or of all, but it never changes
        own, theirs, width = smoothed_for_behaviour(e, replace(train, extras={"behavior": one}))
        assert width in IN_40_MS
        assert np.isfinite(own).all()
        assert np.isfinite(theirs).all()


def test_five_trials_with_behaviour_are_needed():
    e = follows(1, 4)
    assert smoothed_for_behaviour(e, follows(2, 4)) is None
    assert smoothed_for_behaviour(e, follows(2, 5)) is not None
    assert smoothed_for_behaviour(e, replace(follows(2, 20), extras={})) is None
