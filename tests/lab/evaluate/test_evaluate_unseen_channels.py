"""Held-out channels and later bins by regression, against scikit-learn's, and what is chosen on trials left out of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, KFold

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate import unseen_channels
from lfads_plugins_lab.evaluate.unseen_channels import cheapest, downhill, has_unseen, left_out, predict_counts, predict_unseen, standardised

BINS, SEEN_BINS, CHANNELS, SEEN = 9, 7, 6, 4


def counts(seed, trials, *, gaps=False, support="counts", encod_bins=SEEN_BINS, seen=SEEN):
    """All channels go with one drive of the trial and one of the bin."""
    rng = np.random.default_rng(seed)
    drive = rng.normal(size=(trials, 1, 1)) + np.sin(np.arange(BINS))[:, None] + 0.3 * rng.normal(size=(trials, BINS, 1))
    data = rng.poisson(np.exp(0.6 * drive * np.linspace(0.5, 1, CHANNELS) + 0.2)).astype(np.float32)
    data[..., 5] = np.minimum(data[..., 5], 1)
    if gaps:
        missing = rng.random(data.shape) < 0.1
        missing[..., :SEEN] &= np.arange(BINS)[:, None] >= SEEN_BINS
        missing[:, :, 4] = True
        data[missing] = np.nan
    means = rng.random(data.shape)
    sizes = {"encod_bins": encod_bins, "encod_channels": seen, "support": support, "is_rate": True}
    return Evaluation(session="a", split="valid", means=means, data=data, extras={"cond": np.zeros(trials, int)}, **sizes)


def plain(data):
    return data.astype(float)


def regressors(e, train):
    both = [one.data[:, :SEEN_BINS, :SEEN].astype(float) for one in (e, train)]
    return [(one - both[1].mean(axis=(0, 1))) / both[1].std(axis=(0, 1)) for one in both]


def ridge(x, y):
    return GridSearchCV(Ridge(), {"alpha": 10.0 ** np.arange(0, 5.1, 0.5)}, cv=KFold(5)).fit(x, y).predict


@pytest.mark.parametrize(("bins", "channels", "expected"), [(9, 6, False), (7, 6, True), (9, 4, True), (7, 4, True)])
def test_something_is_unseen_where_bins_or_channels_are_left(bins, channels, expected):
    assert has_unseen(counts(0, 3, encod_bins=bins, seen=channels)) is expected


def test_every_fifth_training_trial_is_left_out_with_its_predictions_and_without_what_else_is_known():
    train = counts(0, 13)
    one, other = left_out(train)
    rows = [4, 9]
    for part, expected in ((one, rows), (other, np.setdiff1d(np.arange(13), rows))):
        np.testing.assert_array_equal(part.data, train.data[expected])
        np.testing.assert_array_equal(part.means, train.means[expected])
        assert part.extras == {}
        assert (part.encod_bins, part.support) == (7, "counts")
    assert left_out(counts(0, 4)) is None
    assert [len(part.data) for part in left_out(counts(0, 5))] == [1, 4]


def test_of_many_training_trials_some_evenly_spaced_are_left_out_or_kept(monkeypatch):
    monkeypatch.setattr(unseen_channels, "MOST_TRIALS", 7)
    train = counts(0, 20)
    one, other = left_out(train)
    np.testing.assert_array_equal(one.data, train.data[[12]])
    np.testing.assert_array_equal(other.data, train.data[[0, 3, 6, 9, 15, 18]])


def absolute(guess, target, _):
    return float(abs(guess - target).mean())


def test_the_candidate_is_taken_that_predicts_all_values_of_left_out_trials_best():
    train = counts(0, 15)
    held, rest = (train.data[rows] for rows in ([4, 9, 14], np.setdiff1d(np.arange(15), [4, 9, 14])))

    def predict(candidate, e, others):
        np.testing.assert_array_equal(e.data, held)
        np.testing.assert_array_equal(others.data, rest)
        return np.full((3, 7, 2), candidate), np.full((3, 2, 6), 10 - candidate)

    costs = {c: abs(held[:, :7, 4:] - c).sum() + abs(held[:, 7:] - (10 - c)).sum() for c in (0.0, 2.0, 4.0, 7.0, 9.5)}
    best = min(costs, key=costs.get)
    assert cheapest([0.0, 2.0, 4.0, 7.0, 9.5], train, predict, absolute) == best
    assert best not in (0.0, 9.5)  # values count, not regions
    assert cheapest([0.0, 2.0, 4.0], train, predict, absolute, lambda tried, key: max(tried, key=key)) == max((0.0, 2.0, 4.0), key=costs.get)


def test_what_is_all_seen_costs_nothing():
    asked = []

    def price(guess, target, e):
        asked.append(target.shape)
        return absolute(guess, target, e)

    only_channels = counts(0, 10, encod_bins=BINS)
    found = cheapest([3.0, 0.5], only_channels, lambda c, *_: (np.full((2, 9, 2), c), np.zeros((2, 0, 6))), price)
    assert found == 0.5
    assert set(asked) == {(2, 9, 2)}


def test_the_first_candidate_is_taken_where_nothing_can_be_compared():
    def never(*_):
        raise AssertionError

    assert cheapest([3.0, 4.0], counts(0, 4), never, never) == 3.0
    assert cheapest([5.0], counts(0, 10), never, never) == 5.0


def test_going_downhill_begins_in_the_middle_and_asks_no_more_than_it_must():
    tried = []

    def cost(candidate):
        tried.append(candidate)
        return abs(candidate - 5)

    assert downhill(range(9), key=cost) == 5
    assert tried == [4, 5, 6]
    assert downhill([7, 8, 9, 10], key=lambda _: 1.0) == 9  # level ground is not walked
    for best in range(10, 60, 10):
        assert downhill(range(10, 60, 10), key=lambda candidate, best=best: abs(candidate - best)) == best


@pytest.mark.parametrize("support", ["counts", "real"])
def test_unseen_values_are_predicted_by_ridge_regression_on_the_bin_or_on_the_last_seen_one(support):
    e, train = counts(1, 5, support=support), counts(2, 23, support=support)
    e = replace(e, data=4 - 4 * e.data)  # far out on the other side, so that some predictions are negative
    x = regressors(e, train)
    held = ridge(x[1].reshape(-1, SEEN), train.data[:, :7, 4:].reshape(-1, 2))
    later = ridge(x[1][:, -1], train.data[:, 7:].reshape(23, 12))
    found = predict_unseen(e, train, plain)
    assert len(found) == 2
    floors = np.full(6, -np.inf) if support == "real" else 0.05 * train.data[:, :7].mean(axis=(0, 1))
    later_floors = np.full((2, 6), -np.inf) if support == "real" else 0.05 * train.data[:, 7:].mean(axis=0)
    reached = 0
    for (channels, bins), values in zip(found, x, strict=True):
        expected = held(values.reshape(-1, SEEN)).reshape(-1, 7, 2), later(values[:, -1]).reshape(-1, 2, 6)
        reached += (expected[0] < 0).sum() + (expected[1] < 0).sum()
        np.testing.assert_allclose(channels, np.maximum(expected[0], floors[4:]), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(bins, np.maximum(expected[1], later_floors), rtol=1e-6, atol=1e-9)
    assert reached


def test_what_was_not_observed_counts_as_its_mean_and_as_0_where_it_never_was():
    e, train = counts(1, 5, gaps=True), counts(2, 23, gaps=True)
    x = regressors(e, train)
    (channels, bins), _ = predict_unseen(e, train, plain)
    filled = train.data.astype(float).copy()
    filled[..., 4] = 0
    means = np.nanmean(filled[:, :7, 5])
    target = filled[:, :7, 4:].copy()
    target[..., 1][np.isnan(target[..., 1])] = means
    expected = ridge(x[1].reshape(-1, SEEN), target.reshape(-1, 2))(x[0].reshape(-1, SEEN)).reshape(5, 7, 2)
    np.testing.assert_allclose(channels, np.maximum(expected, [0, 0.05 * means]), rtol=1e-6, atol=1e-9)
    target = np.where(np.isnan(filled[:, 7:]), np.nanmean(filled[:, 7:], axis=0), filled[:, 7:]).reshape(23, 12)
    expected = ridge(x[1][:, -1], target)(x[0][:, -1]).reshape(5, 2, 6)
    np.testing.assert_allclose(bins, np.maximum(expected, 0.05 * np.nanmean(filled[:, 7:], axis=0)), rtol=1e-6, atol=1e-9)


def test_of_few_training_trials_later_bins_get_their_means():
    e = counts(1, 3)
    for trials, same in ((4, True), (5, False)):
        train = counts(2, trials, gaps=True)
        (_, bins), (_, own) = predict_unseen(e, train, plain)
        means = np.nan_to_num(np.nanmean(np.where(np.arange(6) == 4, 0, train.data[:, 7:]), axis=0))
        assert own.shape == (trials, 2, 6)
        assert np.allclose(bins, np.broadcast_to(means, (3, 2, 6))) is same
        bins += 1  # an array of its own


def test_of_few_training_bins_held_out_channels_get_their_means():
    e, train = counts(1, 3, encod_bins=2), counts(2, 2, encod_bins=2)
    (channels, _), (own, _) = predict_unseen(e, train, plain)
    means = train.data[:, :2, 4:].mean(axis=(0, 1))
    np.testing.assert_allclose(channels, np.broadcast_to(means, (3, 2, 2)))
    np.testing.assert_allclose(own, np.broadcast_to(means, (2, 2, 2)))


@pytest.mark.parametrize(("encod_bins", "seen", "shapes"), [(9, 4, [(3, 9, 2), (3, 0, 6)]), (7, 6, [(3, 7, 0), (3, 2, 6)])])
def test_where_all_channels_or_all_bins_are_seen_there_is_nothing_to_predict(encod_bins, seen, shapes):
    e, train = (counts(seed, trials, encod_bins=encod_bins, seen=seen) for seed, trials in ((1, 3), (2, 12)))
    for found in (predict_unseen(e, train, plain), predict_counts(e, train, plain, 10.0)):
        assert [part.shape for part in found[0]] == shapes
        assert [part.shape for part in found[1]] == [(12, *shape[1:]) for shape in shapes]


@pytest.mark.parametrize(
    ("work", "rows", "share", "every"),
    [
        (1e10, (4000, 20000), 1.0, (1, 1)),
        (32 * 50.0, (5, 100), 1.0, (4, 3)),  # 161 bins in steps of at most 50; 23 trials at 8.3 of them
        (32 * 50.0, (5, 100), 0.5, (7, 6)),
        (1.0, (40, 100), 1.0, (5, 1)),
        (1e10, (40, 80), 1.0, (3, 1)),
    ],
)
def test_counts_are_predicted_by_poisson_regression_fitted_to_as_many_bins_as_are_affordable(work, rows, share, every, monkeypatch):
    monkeypatch.setattr(unseen_channels, "MOST_WORK", work)
    monkeypatch.setattr(unseen_channels, "ROWS", rows)
    e, train = counts(1, 5), counts(2, 23)
    e = replace(e, data=e.data * 9)  # far out, so that some rates would be above all counts
    found = predict_counts(e, train, plain, 20.0, *([share] if share < 1 else []))
    x = regressors(e, train)
    reached = 0
    for part, (inputs, target, step) in enumerate(
        ((x, train.data[:, :7, 4:].reshape(-1, 2), every[0]), ([one[:, -1] for one in x], train.data[:, 7:].reshape(23, 12), every[1]))
    ):
        rows_of = inputs[1].reshape(-1, SEEN)
        for n, k in enumerate(target.T):
            fit = PoissonRegressor(alpha=20.0 / len(k[::step]), solver="newton-cholesky", tol=1e-10).fit(rows_of[::step], k[::step])
            for values, guess in zip(inputs, found, strict=True):
                expected = fit.predict(values.reshape(-1, SEEN))
                most = max(k.max(), 1.0)
                reached += (expected > most).sum()
                np.testing.assert_allclose(guess[part].reshape(len(expected), -1)[:, n], np.minimum(expected, most), rtol=1e-4)
    assert reached


def test_counts_that_were_not_observed_are_not_fitted_to_and_those_of_a_silent_channel_are_few():
    e, train = counts(1, 5), counts(2, 23, gaps=True)
    train.data[..., 3][:, 7:] = 0
    x = regressors(e, train)
    (channels, bins), _ = predict_counts(e, train, plain, 20.0)
    k = train.data[:, :7, 5].ravel()
    known = ~np.isnan(k)
    fit = PoissonRegressor(alpha=20.0 / known.sum(), solver="newton-cholesky", tol=1e-10).fit(x[1].reshape(-1, SEEN)[known], k[known])
    np.testing.assert_allclose(channels[..., 1].ravel(), np.minimum(fit.predict(x[0].reshape(-1, SEEN)), 1.0), rtol=1e-4)
    np.testing.assert_allclose(bins[..., 3], 0.5 / 23)
    np.testing.assert_allclose(channels[..., 0], 0.5)  # never observed


def test_seen_channels_are_standardised_by_training_trials_and_one_that_never_changed_there_keeps_its_unit():
    e, train = counts(1, 5), counts(2, 8)
    train.data[..., 2] = 3.0
    own, theirs = standardised(e, train, plain)
    np.testing.assert_allclose(theirs.reshape(-1, SEEN).std(axis=0), [1, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(theirs.reshape(-1, SEEN).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(own[..., 2], e.data[:, :7, 2] - 3.0)
    seen = train.data[:, :7, 1].astype(float)
    np.testing.assert_allclose(own[..., 1], (e.data[:, :7, 1] - seen.mean()) / seen.std())
