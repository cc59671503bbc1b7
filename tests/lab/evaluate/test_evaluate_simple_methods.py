"""Searches and predictions of the simple methods, written out: condition averages, smoothing, regression, factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import poisson

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate import baselines as module
from lfads_plugins_lab.evaluate.baselines import (
    NAMES,
    Baseline,
    baselines,
    condition_average,
    factor_analysis,
    gaussian_smoothing,
    mixed,
    poisson_regression,
    price,
)
from lfads_plugins_lab.evaluate.decoding import smoothed_for_behaviour
from lfads_plugins_lab.evaluate.factor_analysis import fit_factors
from lfads_plugins_lab.evaluate.kernels import smoother
from lfads_plugins_lab.evaluate.unseen_channels import POISSON_PENALTIES, predict_counts, predict_unseen

BINS, SEEN_BINS, CHANNELS, SEEN = 12, 10, 7, 5
WIDTHS = [1.0, 2.0, 3.0, 5.0]
"""Tried in trials of 10 to 12 bins of unknown width; 6 would be half of 12."""
FLOORS = [0.02, 0.05, 0.1, 0.2, 0.4]


def counts(seed, trials, *, support="counts", noise=0.3, height=1.0, encod_bins=SEEN_BINS, seen=SEEN):
    """Conditions' waves with a slow drive for each trial; channel 3 is silent in some bins, channel 0 was never observed."""
    rng = np.random.default_rng(seed)
    labels = np.arange(trials) % 3
    slow = noise * np.cumsum(rng.normal(size=(trials, BINS, 1)), axis=1)
    wave = height * np.sin(np.arange(BINS)[:, None] / 2 + 2 * labels[:, None, None] + np.linspace(0, 1, CHANNELS))
    data = rng.poisson(np.exp(wave + slow * np.linspace(0.5, 1, CHANNELS))).astype(np.float32)
    data[rng.random(data.shape) < 0.05] = np.nan
    data[..., 0] = np.nan
    sizes = {"encod_bins": encod_bins, "encod_channels": seen, "support": support, "is_rate": True}
    return Evaluation(session="a", split="valid", means=np.ones(data.shape), data=data, extras={"cond": labels}, **sizes)


def averaged(data, width, means, itself=True):
    """Gaussian averages over observed bins, and the channel's mean where there are none."""
    found = np.empty(data.shape)
    for b, t, n in np.ndindex(data.shape):
        near = [u for u in range(data.shape[1]) if abs(u - t) <= np.ceil(4 * width) and (itself or u != t) and not np.isnan(data[b, u, n])]
        weights = np.exp([-0.5 * ((u - t) / width) ** 2 for u in near])
        found[b, t, n] = (weights @ data[b, near, n]) / weights.sum() if near else means[n]
    return found


def observed_means(data):
    return np.array([channel[~np.isnan(channel)].mean() if (~np.isnan(channel)).any() else 0.0 for channel in data.reshape(-1, data.shape[2]).T])


def cost(rates, k):
    known = ~np.isnan(k)
    return -poisson.logpmf(k[known], np.maximum(rates[known], 1e-9)).mean() - gammaln(k[known] + 1).mean()


def best_mixture(guesses, means, data):
    """Least Poisson cost over widths and shares of the mean."""
    costs = {(width, floor): cost((1 - floor) * guess + floor * means, data) for width, guess in guesses.items() for floor in FLOORS}
    return min(costs, key=costs.get)


def of_others(values, labels):
    """For each trial the mean of the others of its condition."""
    numbers = np.arange(len(labels))
    return np.stack([values[(labels == labels[i]) & (numbers != i)].mean(axis=0) for i in numbers])


@pytest.mark.parametrize(("noise", "height", "trials"), [(0.1, 1.0, 21), (0.6, 1.0, 10), (0.0, 0.1, 10)])
def test_a_condition_average_is_smoothed_and_mixed_as_prices_left_out_training_trials_least(noise, height, trials):
    e, train = counts(1, 4, noise=noise, height=height), counts(2, trials, noise=noise, height=height)
    means, labels = observed_means(train.data), train.extras["cond"]
    smooth = {width: averaged(train.data, width, means) for width in WIDTHS}
    width, floor = best_mixture({width: of_others(values, labels) for width, values in smooth.items()}, means, train.data)
    found = condition_average(e, train)
    assert height == 1.0 or width == 5.0  # what hardly moves is smoothed over half the trial
    assert (found.name, found.chosen, found.why_not) == ("condition average", {"width_bins": width, "share_of_mean": floor}, "")
    own = np.stack([smooth[width][labels == label].mean(axis=0) for label in e.extras["cond"]])
    np.testing.assert_allclose(np.nan_to_num(found.means), (1 - floor) * own + floor * means)
    np.testing.assert_allclose(np.nan_to_num(found.train_means), (1 - floor) * of_others(smooth[width], labels) + floor * means)


def test_the_bin_width_says_which_widths_are_tried():
    e, train = replace(counts(1, 4), bin_ms=40.0), counts(2, 20)
    for chosen in (condition_average(e, train).chosen["width_bins"], gaussian_smoothing(e, train)[0].chosen["width_bins"]):
        assert chosen in [0.5, 0.75, 1.25, 1.875, 2.5, 3.75]
    assert condition_average(replace(e, bin_ms=400.0), train).chosen["width_bins"] in [0.625, 1.0]


@pytest.mark.parametrize(("noise", "height"), [(0.8, 1.0), (0.0, 0.1)])
def test_smoothing_is_searched_on_seen_channels_and_what_is_unseen_on_left_out_trials(noise, height):
    e, train = counts(1, 4, noise=noise, height=height), counts(2, 20, noise=noise, height=height)
    seen = [one.data[:, :SEEN_BINS, :SEEN] for one in (train, e)]
    means = observed_means(seen[0])
    width, floor = best_mixture({width: averaged(seen[0], width, means, itself=False) for width in WIDTHS}, means, seen[0])
    out = np.arange(20) % 5 == 4
    one, rest = (replace(train, data=train.data[rows], means=train.means[rows], extras={}) for rows in (out, ~out))
    costs = {}
    for tried in WIDTHS:
        channels, later = predict_unseen(one, rest, lambda data, tried=tried: averaged(data, tried, means))[0]
        costs[tried] = sum(cost(g, k) * k.size for g, k in ((channels, one.data[:, :SEEN_BINS, SEEN:]), (later, one.data[:, SEEN_BINS:])))
    found, other = gaussian_smoothing(e, train)
    assert other == min(costs, key=costs.get)
    assert height == 1.0 or other < width
    assert (found.name, found.chosen) == ("Gaussian smoothing", {"width_bins": width, "width_bins_unseen": other, "share_of_mean": floor})
    unseen = predict_unseen(e, train, lambda data: averaged(data, other, means))
    for values, guess, part in ((seen[1], found.means, unseen[0]), (seen[0], found.train_means, unseen[1])):
        inside = (1 - floor) * averaged(values, width, means, itself=False) + floor * means
        np.testing.assert_allclose(np.nan_to_num(guess[:, :SEEN_BINS, :SEEN]), inside)
        np.testing.assert_allclose(guess[:, :SEEN_BINS, SEEN:], part[0])
        np.testing.assert_allclose(guess[:, SEEN_BINS:], part[1])


def test_where_all_is_seen_there_is_one_width():
    e, train = (counts(seed, trials, encod_bins=BINS, seen=CHANNELS, noise=0.0, height=0.1) for seed, trials in ((1, 4), (2, 20)))
    found, other = gaussian_smoothing(e, train)
    assert other == found.chosen["width_bins"] == found.chosen["width_bins_unseen"] == 5.0
    assert found.decoded is None
    assert found.means.shape == (4, 12, 7)


def test_where_there_is_behaviour_it_is_decoded_from_seen_channels_smoothed_for_it():
    e, train = (replace(one, extras={"behavior": np.nan_to_num(one.data[..., 2:4])}) for one in (counts(1, 4), counts(2, 20)))
    found, _ = gaussian_smoothing(e, train)
    own, theirs, width = smoothed_for_behaviour(e, train)
    assert found.chosen["width_bins_behaviour"] == width
    np.testing.assert_array_equal(found.decoded[0], own)
    np.testing.assert_array_equal(found.decoded[1], theirs)


def test_the_penalty_of_a_poisson_regression_is_the_one_that_predicts_left_out_trials_best_with_half_the_bins(monkeypatch):
    monkeypatch.setattr("lfads_plugins_lab.evaluate.unseen_channels.ROWS", (20, 30))
    monkeypatch.setattr("lfads_plugins_lab.evaluate.unseen_channels.MOST_WORK", 25e2)
    e, train = counts(1, 4, noise=0.5), counts(2, 20, noise=0.5)
    smoothing = gaussian_smoothing(e, train)[0]
    smoothed = smoother(2.0, observed_means(train.data[:, :SEEN_BINS, :SEEN]))
    out = np.arange(20) % 5 == 4
    one, rest = (replace(train, data=train.data[rows], means=train.means[rows], extras={}) for rows in (out, ~out))

    def reached(penalty, share):
        parts = zip(predict_counts(one, rest, smoothed, penalty, share)[0], (one.data[:, :SEEN_BINS, SEEN:], one.data[:, SEEN_BINS:]), strict=True)
        return sum(cost(guess, k) * k.size for guess, k in parts)

    tried = []
    monkeypatch.setattr(module, "predict_counts", lambda *given: tried.append(given[3]) or predict_counts(*given))
    found = poisson_regression(e, train, smoothing, 2.0)
    assert 3 <= len(tried[:-1]) < len(POISSON_PENALTIES)  # no more than to see that it gets worse
    best = min(POISSON_PENALTIES, key=lambda penalty: reached(penalty, 0.5))
    assert best != min(POISSON_PENALTIES, key=lambda penalty: reached(penalty, 1.0))  # all bins would say otherwise
    assert (found.name, found.chosen, found.why_not) == ("Poisson regression", {"width_bins": 2.0, "penalty": best}, "")
    for guess, theirs, (channels, later) in zip(
        (found.means, found.train_means), (smoothing.means, smoothing.train_means), predict_counts(e, train, smoothed, best), strict=True
    ):
        np.testing.assert_array_equal(guess[:, :SEEN_BINS, :SEEN], theirs[:, :SEEN_BINS, :SEEN])
        np.testing.assert_allclose(guess[:, :SEEN_BINS, SEEN:], channels)
        np.testing.assert_allclose(guess[:, SEEN_BINS:], later)


@pytest.mark.parametrize("support", ["counts", "real"])
def test_factors_of_the_bins_predict_held_out_channels_and_those_of_their_neighbours_seen_ones(support):
    e, train = counts(1, 4, support=support, noise=0.6), counts(2, 20, support=support, noise=0.6)
    e, train = (replace(one, data=np.where(np.arange(CHANNELS) == 0, 1 + np.arange(BINS)[:, None] % 2, one.data)) for one in (e, train))
    e.data[1, :, 2] = np.nan  # nothing near these bins
    e = replace(e, data=20 - 19 * e.data)  # far out on the other side, so that some predictions are negative
    means = observed_means(train.data)
    model = fit_factors(averaged(train.data[:, :SEEN_BINS], 1.5, means), SEEN)
    found = factor_analysis(e, train, 1.5)
    assert (found.name, found.chosen) == ("factor analysis", {"factors": model.factors, "width_bins": 1.5})
    for one, guess in ((e, found.means), (train, found.train_means)):
        seen = one.data[:, :SEEN_BINS, :SEEN]
        expected = model.predict(averaged(seen, 1.5, means))
        last = expected[:, -1].copy()
        expected[..., :SEEN] = model.predict(averaged(seen, 1.5, means, itself=False))[..., :SEEN]
        expected = np.concatenate([expected, last[:, None], last[:, None]], axis=1)
        assert one is train or (expected < 0).any()
        np.testing.assert_allclose(guess, expected if support == "real" else np.maximum(expected, 0.05 * means), rtol=1e-6)


def test_smoothing_tells_its_width_to_the_regression_and_the_factors(monkeypatch):
    e = replace(counts(1, 4), train=counts(2, 20))
    e = replace(e, data=np.nan_to_num(e.data), train=replace(e.train, data=np.nan_to_num(e.train.data)))
    monkeypatch.setattr(module, "gaussian_smoothing", lambda e, train: (gaussian_smoothing(e, train)[0], 2.5))
    found = baselines(e)
    assert [one.name for one in found] == ["condition average", "Gaussian smoothing", "Poisson regression", "factor analysis"]
    assert [one.chosen["width_bins"] for one in found[2:]] == [2.5, 2.5]
    none = baselines(replace(e, train=None))
    assert [(one.name, one.means, one.why_not) for one in none] == [(name, None, "no training trials") for name in NAMES]
    other = baselines(replace(e, encod_channels=0))
    assert [(one.name, one.why_not) for one in other] == [(NAMES[0], ""), *((name, "the input is of another modality") for name in NAMES[1:])]


def test_what_lacks_conditions_or_counts_has_its_name_and_a_reason():
    e, train = counts(1, 4), counts(2, 20)
    bare, theirs = replace(e, extras={}), replace(train, extras={})
    for found in (condition_average(bare, train), condition_average(e, theirs)):
        assert (found.name, found.means, found.why_not) == (NAMES[0], None, "the file names no conditions")
    strange = replace(e, extras={"cond": np.array([1, 30, 4, 2])})
    found = condition_average(strange, train)
    assert (found.name, found.why_not) == (NAMES[0], "condition 30 has no training trial")  # the first, by its text
    texts = replace(e, extras={"cond": np.array(["up", "left", "up", "down"])})
    assert condition_average(texts, train).why_not == "condition 'down' has no training trial"
    pairs = replace(train, extras={"cond": np.arange(20) % 10})
    assert condition_average(e, pairs).why_not == ""  # two trials are enough
    single = replace(train, extras={"cond": np.where(np.arange(20) == 7, 5, np.arange(20) % 3)})
    assert (condition_average(e, single).name, condition_average(e, single).why_not) == (NAMES[0], "a condition has a single training trial")
    both = Baseline(name="smoothing", means=e.data, train_means=train.data)
    whole = replace(e, encod_bins=BINS, encod_channels=CHANNELS)
    for of, smoothing in ((whole, both), (e, replace(both, means=None)), (e, replace(both, train_means=None))):
        nothing = poisson_regression(of, train, smoothing, 1.0)
        assert (nothing.name, nothing.why_not) == (NAMES[2], "no held-out channels and no later bins")
    real = poisson_regression(replace(e, support="real"), train, both, 1.0)
    assert (real.name, real.why_not) == (NAMES[2], "the data are no counts")


def test_factor_analysis_that_cannot_be_done_says_why(monkeypatch):
    monkeypatch.setattr(module, "missing", lambda: "a reason")
    found = factor_analysis(counts(1, 4), counts(2, 20), 1.0)
    assert (found.name, found.means, found.why_not) == (NAMES[3], None, "a reason")


def test_predictions_take_the_place_of_the_model_s():
    e = replace(counts(1, 4), train=counts(2, 6))
    guesses, decoded = [(np.full((4, 12, n), k), np.full((6, 12, n), k + 1.0)) for n, k in ((7, 2.0), (5, 4.0))]
    one = Baseline(name="one", means=guesses[0], train_means=guesses[1], decoded=decoded)
    for found, (own, theirs), channels in ((one.evaluation(e), guesses, 7), (one.decoding(e), decoded, 5)):
        assert (found.means is own, found.train.means is theirs) == (True, True)
        np.testing.assert_array_equal(found.data, e.data[..., :channels])
        np.testing.assert_array_equal(found.train.data, e.train.data[..., :channels])
        assert (found.extras is e.extras, found.train.extras is e.train.extras) == (True, True)
    assert replace(one, decoded=None).decoding(e) is None
    assert one.decoding(replace(e, train=None)) is None
    for lacking, of in ((replace(one, means=None), e), (replace(one, train_means=None), e), (one, replace(e, train=None))):
        with pytest.raises(ValueError, match=r"^a baseline without predictions cannot be evaluated$"):
            lacking.evaluation(of)


def test_widths_are_compared_by_the_poisson_cost_of_counts_and_by_r2_of_other_values():
    e = counts(3, 5)
    guess = np.random.default_rng(0).uniform(0, 2, e.data.shape)
    guess[0] = 0.0
    assert price(guess, e.data, e) == pytest.approx(cost(guess, e.data))
    known = ~np.isnan(e.data)
    centred = e.data - observed_means(e.data)
    assert price(guess, e.data, replace(e, support="real")) == pytest.approx(((guess - e.data)[known] ** 2).sum() / (centred[known] ** 2).sum())


def test_a_share_of_the_mean_is_mixed_in():
    np.testing.assert_allclose(mixed(np.array([[[1.0, 2.0]]]), np.array([5.0, -2.0]), 0.25), [[[2.0, 1.0]]])
