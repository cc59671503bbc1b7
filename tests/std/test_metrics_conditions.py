"""Condition averages made from data, Poisson regression, and R2 with gaps: against loops, scikit-learn and closed forms."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import r2_score as sklearn_r2

from lfads_core.components.evaluation import Evaluation
from lfads_core.errors import DataError
from lfads_plugins_std.metrics.conditions import labels_of, score_conditions
from lfads_plugins_std.metrics.poisson_regression import PoissonRegression, fit_poisson
from lfads_plugins_std.metrics.psth import eval_psth, make_psth, psth_r2_per_channel
from lfads_plugins_std.metrics.r2 import r2_observed, r2_variance_weighted


@pytest.fixture
def evaluation():
    rng = np.random.default_rng(3)
    labels = np.repeat([4, 7], 6)
    rates = rng.gamma(2.0, 0.5, (2, 10, 3))[np.repeat([0, 1], 6)]
    data = rng.poisson(rates).astype(float)
    return Evaluation(
        session="a", split="valid", means=rates, data=data, encod_bins=10, encod_channels=3, support="counts", is_rate=True, extras={"cond": labels}
    )


def test_a_psth_is_the_mean_of_a_conditions_trials_and_nan_where_one_of_them_has_nothing():
    data = np.arange(24.0).reshape(3, 4, 2)
    data[2, 1, 0] = np.nan
    psth = make_psth(data, [np.array([0, 1]), np.array([2]), np.array([], dtype=int)])
    np.testing.assert_array_equal(psth[0], (data[0] + data[1]) / 2)
    np.testing.assert_array_equal(np.isnan(psth[1]), [[False, False], [True, True], [False, False], [False, False]])
    assert np.isnan(psth[2]).all()


def test_jittered_trials_are_lined_up_before_they_are_averaged():
    path = np.array([0.0, 5.0, 1.0, 0.0])
    data = np.stack([path, np.roll(path, -1)])[..., None]
    psth = make_psth(data, [np.array([0, 1])], jitter=np.array([0, 1]))
    np.testing.assert_array_equal(psth[0, :, 0], [np.nan, 5.0, 1.0, 0.0])


def test_the_score_is_the_mean_of_the_channels_scores():
    rng = np.random.default_rng(0)
    psth, rates, trials = rng.normal(size=(2, 6, 3)), rng.normal(size=(5, 6, 3)), [np.array([0, 1]), np.array([2, 3, 4])]
    averages = np.concatenate([rates[rows].mean(axis=0) for rows in trials])
    expected = sklearn_r2(psth.reshape(-1, 3), averages, multioutput="raw_values")
    np.testing.assert_allclose(psth_r2_per_channel(psth, rates, trials), expected)
    assert eval_psth(psth, rates, trials) == pytest.approx(expected.mean())


def test_predictions_are_scored_against_averages_of_data_and_not_at_all_where_bins_have_no_width(evaluation):
    """In bins of a quarter of an hour 50 ms smooth nothing."""
    e = replace(evaluation, bin_ms=9e5)
    assert score_conditions(evaluation) is None
    target = np.concatenate([e.data[:6].mean(axis=0), e.data[6:].mean(axis=0)])
    guess = np.concatenate([e.means[0], e.means[6]])
    assert score_conditions(e).mean == pytest.approx(sklearn_r2(target, guess))


def test_training_trials_are_part_of_the_averages_and_their_order_does_not_matter(evaluation):
    e = replace(evaluation, bin_ms=9e5)
    train = replace(e, split="train", data=e.data[::-1] + 1, extras={"cond": e.extras["cond"][::-1]})
    target = np.concatenate([(e.data[rows].mean(axis=0) + (e.data + 1)[rows].mean(axis=0)) / 2 for rows in (slice(6), slice(6, 12))])
    guess = np.concatenate([e.means[0], e.means[6]])
    assert score_conditions(replace(e, train=train)).mean == pytest.approx(sklearn_r2(target, guess))


@pytest.mark.parametrize("labels", [None, np.zeros(12), np.arange(12), np.zeros((12, 2))])
def test_without_conditions_that_trials_share_there_is_no_score(evaluation, labels):
    assert score_conditions(replace(evaluation, bin_ms=20.0, extras={} if labels is None else {"cond": labels})) is None


def test_two_trials_of_each_of_three_conditions_are_enough(evaluation):
    """Conditions in turn, each bin smoothed by nothing."""
    e = replace(evaluation, bin_ms=9e5, means=evaluation.means[3:9] * np.arange(1, 7)[:, None, None], data=evaluation.data[3:9])
    e = replace(e, extras={"cond": np.array([2, 0, 1, 0, 1, 2])})
    rows = [[1, 3], [2, 4], [0, 5]]
    target, guess = (np.concatenate([values[pair].mean(axis=0) for pair in rows]) for values in (e.data, e.means))
    found = score_conditions(e)
    np.testing.assert_allclose(found.per_channel, sklearn_r2(target, guess, multioutput="raw_values"))
    assert found.mean == pytest.approx(sklearn_r2(target, guess))


def test_trials_are_lined_up_by_their_jitter_before_they_are_averaged_in_data_and_predictions_alike(evaluation):
    rng = np.random.default_rng(8)
    e = replace(evaluation, bin_ms=9e5, means=rng.normal(size=(12, 10, 3)))
    train = replace(e, split="train", data=e.data + 2, extras={"cond": e.extras["cond"], "jitter": rng.integers(-2, 3, 12)})
    e = replace(e, extras={**e.extras, "jitter": rng.integers(-2, 3, 12)}, train=train)

    def averaged(parts):
        """Mean over the trials of each condition, moved one by one; only bins that every trial of it reaches."""
        sums, kept = [], []
        for label in (4, 7):
            moved = np.full((0, 10, 3), np.nan)
            for values, extras in parts:
                for b in np.flatnonzero(extras["cond"] == label):
                    later = np.full((10, 3), np.nan)
                    for t in range(10):
                        if 0 <= t + extras["jitter"][b] < 10:
                            later[t + extras["jitter"][b]] = values[b, t]
                    moved = np.concatenate([moved, later[None]])
            sums.append(moved.mean(axis=0))
            kept.append(~np.isnan(sums[-1][:, 0]))
        return np.concatenate(sums), np.concatenate(kept)

    target, known = averaged([(e.data, e.extras), (train.data, train.extras)])
    guess, _ = averaged([(e.means, e.extras)])
    found = score_conditions(e)
    np.testing.assert_allclose(found.per_channel, sklearn_r2(target[known], guess[known], multioutput="raw_values"))
    assert found.mean == pytest.approx(found.per_channel.mean())


@pytest.mark.parametrize("jitter", [np.ones(11, dtype=int), np.ones(12), np.ones((12, 1), dtype=int)], ids=["too few", "no whole bins", "a table"])
def test_what_cannot_be_a_jitter_moves_nothing_and_so_does_one_that_the_training_trials_lack(evaluation, jitter):
    e = replace(evaluation, bin_ms=9e5)
    assert score_conditions(replace(e, extras={**e.extras, "jitter": jitter})).mean == score_conditions(e).mean
    both = replace(e, train=e)
    assert score_conditions(replace(both, extras={**e.extras, "jitter": np.arange(12)})).mean == score_conditions(both).mean


def test_predictions_in_single_precision_are_averaged_in_double(evaluation):
    e = replace(evaluation, bin_ms=9e5, means=(1e4 + evaluation.means).astype(np.float32), data=1e4 + evaluation.data)
    assert score_conditions(e).mean == score_conditions(replace(e, means=e.means.astype(np.float64))).mean


def test_conditions_are_found_under_the_names_that_alignment_knows():
    labels = np.array([1, 2])
    assert labels_of({"other": labels, "cond_idx": labels}) is labels
    assert labels_of({"other": labels}) is None


@pytest.mark.parametrize(("penalty", "spread"), [(0.5, 0.3), (20.0, 0.3), (0.01, 1.5)])
def test_poisson_regression_is_scikit_learns(penalty, spread):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    counts = rng.poisson(np.exp(x @ rng.normal(0, spread, (4, 2)) - 1)).astype(float)
    fit = fit_poisson(x, counts, penalty)
    for n in range(2):
        reference = PoissonRegressor(alpha=penalty / 300, max_iter=1000, tol=1e-9).fit(x, counts[:, n])
        np.testing.assert_allclose(fit.weights[:, n], reference.coef_, atol=1e-5)
        np.testing.assert_allclose(fit(x)[:, n], reference.predict(x), rtol=1e-5)


def test_rows_without_a_count_do_not_count_and_silent_channels_get_half_an_event():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    counts = np.column_stack([rng.poisson(1.0, 40), np.zeros(40)]).astype(float)
    gaps = counts.copy()
    gaps[:10, 0] = np.nan
    np.testing.assert_allclose(fit_poisson(x, gaps).weights[:, 0], fit_poisson(x[10:], counts[10:]).weights[:, 0])
    np.testing.assert_allclose(fit_poisson(x, gaps)(x)[:, 1], 0.5 / 40)


@pytest.mark.parametrize(("rows", "counts", "penalty"), [(2, 3, 1.0), (0, 0, 1.0), (2, 2, 0.0), (2, 2, -1.0)])
def test_poisson_regression_refuses_rows_that_do_not_match_and_penalties_that_are_none(rows, counts, penalty):
    text = "Poisson regression: must have as many rows of counts as of regressors, at least one, and a penalty above 0, got "
    with pytest.raises(DataError, match=re.escape(f"{text}{counts}, {rows} and {penalty}.")):
        fit_poisson(np.ones((rows, 1)), np.ones((counts, 1)), penalty)


def test_a_single_row_is_enough_and_expected_counts_are_bounded_on_either_side():
    assert fit_poisson(np.ones((1, 1)), np.zeros((1, 1)))(np.ones((1, 1)))[0, 0] == pytest.approx(0.5)
    unseen = fit_poisson(np.ones((3, 1)), np.full((3, 1), np.nan))
    assert unseen(np.ones((1, 1)))[0, 0] == pytest.approx(0.5)
    rates = PoissonRegression(weights=np.array([[1.0, -1.0]]), bias=np.zeros(2))(np.array([[50.0]]))
    np.testing.assert_allclose(np.log(rates), [[20.0, -20.0]])


def test_poisson_regression_of_single_precision_is_that_of_double():
    rng = np.random.default_rng(4)
    x, counts = rng.normal(size=(60, 3)).astype(np.float32), rng.poisson(1.0, (60, 2)).astype(np.float32)
    fit, double = fit_poisson(x, counts), fit_poisson(x.astype(float), counts.astype(float))
    np.testing.assert_array_equal(fit.weights, double.weights)
    np.testing.assert_array_equal(fit.weights, fit_poisson(x, counts, penalty=1.0).weights)
    far = (1e3 + 1e-3 * x).astype(np.float32)
    np.testing.assert_array_equal(fit(far), fit(far.astype(float)))


def test_r2_of_observed_values_leaves_gaps_out():
    rng = np.random.default_rng(2)
    target, guess = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    assert r2_observed(guess, target) == pytest.approx(r2_variance_weighted(guess, target))
    gaps = target.copy()
    gaps[20:, 0] = np.nan
    residual = ((guess - target)[:20, 0] ** 2).sum() + ((guess - target)[:, 1] ** 2).sum()
    total = target[:20, 0].var() * 20 + target[:, 1].var() * 30
    assert r2_observed(guess, gaps) == pytest.approx(1 - residual / total)
    once = np.where(np.arange(30) < 29, np.nan, target[:, 0])[:, None]  # seen once, it does not vary, but is missed
    both, guesses = np.column_stack([once, target[:, 1]]), np.column_stack([guess[:, 0], guess[:, 1]])
    residual = (guess[29, 0] - target[29, 0]) ** 2 + ((guess - target)[:, 1] ** 2).sum()
    assert r2_observed(guesses, both) == pytest.approx(1 - residual / (target[:, 1].var() * 30))
    assert np.isnan(r2_observed(guess, np.full_like(target, np.nan)))
