"""Shares of a gain with their interval, against the textbook formula of a ratio of means; what counts as a trial, and where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from lfads_plugins_lab.evaluate.kept import CLEAR, LEVEL, kept_gain


def costs(trials, seed=0):
    """Costs of trials of unlike length; the last two hide nothing, whatever their costs are."""
    rng = np.random.default_rng(seed)
    values = rng.integers(3, 30, trials).astype(float)
    values[0], values[-2:] = 1.0, 0.0
    whole = 0.4 * values + rng.normal(size=trials)
    null = 5 * rng.normal(size=trials)
    return null, null - whole, null - 0.7 * whole - 0.3 * rng.normal(size=trials), values


def test_a_share_has_the_interval_of_a_ratio_of_means():
    null, seen, hidden, values = costs(23)
    n, kept, whole = 21, (null - hidden)[:-2], (null - seen)[:-2]
    share = kept.mean() / whole.mean()
    (kk, kw), (_, ww) = np.cov(kept, whole)
    error = np.sqrt((kk - 2 * share * kw + share**2 * ww) / n) / whole.mean()
    low, high = scipy.stats.t.interval(LEVEL, n - 1, loc=share, scale=error)
    found = kept_gain(null, seen, hidden, values)
    assert (found.share, found.low, found.high) == pytest.approx((share, low, high))
    per_trial = values[:-2].mean()
    assert (found.gain, found.gain_error) == pytest.approx((whole.mean() / per_trial, scipy.stats.sem(whole) / per_trial))


@pytest.mark.parametrize(("trials", "known"), [(4, False), (5, True)])
def test_three_trials_with_hidden_values_are_needed(trials, known):
    assert (kept_gain(*costs(trials)) is not None) is known


def test_a_gain_that_is_no_clear_one_has_no_share():
    """Three trials that gain 1 - d, 1, 1 + d: the mean's standard error is d / sqrt(3), and a third of the mean at d = 1 / sqrt(3)."""
    values, null = np.full(3, 2.0), np.array([4.0, 7.0, 5.0])
    for factor, clear in ((1.05, False), (0.95, True)):
        spread = factor * np.sqrt(3) / CLEAR
        own = np.array([1 - spread, 1.0, 1 + spread])
        found = kept_gain(null, null - own, null - 0.5 * own, values)
        assert (found.gain, found.gain_error) == pytest.approx((0.5, 0.5 * factor / CLEAR))
        if clear:
            assert (found.share, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
        else:
            assert (found.share, found.low, found.high) == (None, None, None)


def test_a_model_that_is_as_good_as_mean_rates_gains_nothing():
    null, _, hidden, values = costs(9)
    found = kept_gain(null, null, hidden, values)
    assert (found.share, found.low, found.high, found.gain, found.gain_error) == (None, None, None, 0.0, 0.0)
