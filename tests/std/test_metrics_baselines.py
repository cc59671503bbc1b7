"""Costs of mean rates and true rates."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import poisson

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.baselines import compare_costs, gap_closed, null_nll, poisson_nll, stirling


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 0.4, (30, 20, 6))
    counts = rng.poisson(truth).astype(float)
    counts[4, 5] = np.nan
    return truth, counts


def test_the_cost_is_scipys_but_for_stirlings_constant(drawn):
    truth, counts = drawn
    seen = ~np.isnan(counts)
    k = counts[seen]
    exact = -poisson.logpmf(k, truth[seen]) - gammaln(k + 1)
    constant = [x * math.log(x) - x + math.log(2 * math.pi * x) / 2 if x > 1 else 0.0 for x in k]
    assert poisson_nll(truth, counts) == pytest.approx((exact + constant).mean(), rel=1e-11)


def test_stirlings_constant_is_zero_up_to_one_and_near_the_exact_one_after():
    np.testing.assert_array_equal(stirling(np.array([0.0, 0.5, 1.0])), 0.0)
    k = np.arange(2.0, 60.0)
    np.testing.assert_allclose(stirling(k), gammaln(k + 1), atol=1 / (12 * 2))


def test_mean_rates_close_none_of_the_gap_and_true_rates_all_of_it(drawn):
    truth, counts = drawn
    mean = np.broadcast_to(np.nanmean(counts, axis=(0, 1)), counts.shape)
    assert compare_costs(mean, counts, truth).gap_closed == pytest.approx(0.0, abs=1e-12)
    costs = compare_costs(truth, counts, truth)
    assert costs.gap_closed == 1.0
    assert costs.null == null_nll(counts) > costs.oracle == costs.model
    assert gap_closed(1.5, 2.0, 1.0) == 0.5
    assert math.isnan(gap_closed(1.0, 2.0, 2.0))


def test_single_precision_costs_what_double_does(drawn):
    truth, counts = (x.astype(np.float32) for x in drawn)
    exact = poisson_nll(truth.astype(float), counts.astype(float))
    assert poisson_nll(truth.astype(float), counts) == exact
    assert poisson_nll(truth, counts.astype(float)) == exact
    assert poisson_nll(truth, counts) == exact


def test_a_rate_of_zero_is_dear_but_finite():
    assert poisson_nll(np.zeros(2), np.array([0.0, 1.0])) == pytest.approx(1e-9 - 0.5 * math.log(1e-9))


def test_another_shape_is_refused():
    with pytest.raises(DataError, match=re.escape("poisson_nll: rates must have the shape of the counts (3,), got (2,).")):
        poisson_nll(np.ones(2), np.ones(3))
