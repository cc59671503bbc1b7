"""Baselines against definitions written out, and what they must not look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import RidgeCV

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate.baselines import NAMES, baselines, condition_average, gaussian_smoothing, poisson_regression
from lfads_plugins_lab.evaluate.factor_analysis import fit_factors
from lfads_plugins_lab.evaluate.kernels import neighbours, smoother, widths
from lfads_plugins_lab.evaluate.unseen_channels import downhill, predict_unseen, standardised
from lfads_plugins_std.metrics.offered import behaviour_metrics
from lfads_plugins_std.metrics.spikes import bits_per_spike


def make(seed, trials, bins=30, channels=8, seen=6, encod_bins=26):
    """Counts whose rates are conditions' sines with a gain for each trial; all channels share both."""
    rng = np.random.default_rng(seed)
    labels = np.arange(trials) % 3
    time = np.linspace(0, 2 * np.pi, bins)
    phase = np.linspace(0, 2, channels)
    gain = rng.uniform(0.3, 1.7, trials)
    drive = np.sin(time[None, :, None] + 2 * labels[:, None, None] + phase) * gain[:, None, None]
    rates = np.exp(drive - 0.5)
    data = rng.poisson(rates).astype(np.float32)
    return Evaluation(
        session="a",
        split="valid",
        means=rates,
        data=data,
        encod_bins=encod_bins,
        encod_channels=seen,
        support="counts",
        is_rate=True,
        bin_ms=20.0,
        extras={"cond": labels},
    )


@pytest.fixture
def evaluation():
    return replace(make(1, 18), train=make(0, 60))


def test_every_baseline_predicts_every_value_of_both_splits_and_beats_mean_rates_on_held_out_channels(evaluation):
    found = baselines(evaluation)
    assert [one.name for one in found] == list(NAMES)
    for one in found:
        assert one.means.shape == evaluation.data.shape
        assert one.train_means.shape == evaluation.train.data.shape
        assert (one.means > 0).all()
        assert bits_per_spike(one.means[:, :26, 6:], evaluation.data[:, :26, 6:]) > 0.02


def test_the_average_of_a_condition_is_that_of_its_training_trials_and_never_of_the_trial_itself(evaluation):
    found = condition_average(evaluation, evaluation.train)
    moved = condition_average(replace(evaluation, data=evaluation.data + 5), evaluation.train)
    np.testing.assert_array_equal(found.means, moved.means)
    np.testing.assert_allclose(found.means[0], found.means[3])  # the same condition
    data = evaluation.train.data.copy()
    data[4] += 50
    other = condition_average(evaluation, replace(evaluation.train, data=data))
    kept = found.chosen == other.chosen
    assert not kept or abs(other.train_means[4] - found.train_means[4]).max() < 0.2 * abs(other.train_means[1] - found.train_means[1]).max()


def test_neighbours_are_weighed_by_a_gaussian_and_the_bin_itself_has_no_weight():
    data = np.random.default_rng(0).normal(size=(2, 9, 3))
    data[0, 2, 1] = np.nan
    found = neighbours(data, 1.5)
    for b, t, n in ((0, 3, 1), (1, 0, 2), (0, 8, 0)):
        others = [u for u in range(9) if u != t and abs(u - t) <= 6 and not np.isnan(data[b, u, n])]
        weights = np.exp([-0.5 * ((u - t) / 1.5) ** 2 for u in others])
        assert found[b, t, n] == pytest.approx((weights * data[b, others, n]).sum() / weights.sum())


@pytest.mark.long
def test_no_prediction_changes_with_the_value_it_predicts(evaluation):
    changed = evaluation.data.copy()
    changed[2, 10, 3] += 40  # a seen value
    changed[2, :, 6:] += 7  # held-out channels
    changed[2, 26:] += 9  # later bins
    for i, name in enumerate(NAMES):
        before, after = (baselines(replace(evaluation, data=data))[i].means for data in (evaluation.data, changed))
        assert after[2, 10, 3] == pytest.approx(before[2, 10, 3]), name
        assert abs(after - before)[[0, 1, 3]].max() == 0, name
    quiet = evaluation.data.copy()
    quiet[2, :, 6:] += 7
    quiet[2, 26:] += 9
    for i, name in enumerate(NAMES):
        before, after = (baselines(replace(evaluation, data=data))[i].means for data in (evaluation.data, quiet))
        np.testing.assert_array_equal(after, before, err_msg=name)


def test_the_width_is_the_one_that_predicts_training_trials_best(evaluation):
    found, _ = gaussian_smoothing(evaluation, evaluation.train)
    seen = evaluation.train.data[:, :26, :6]
    means, costs = seen.mean(axis=(0, 1)), {}
    for candidate in widths(20.0, 26):
        guess = 0.9 * neighbours(seen, candidate) + 0.1 * means
        costs[candidate] = (guess - seen * np.log(guess)).mean()
    width = found.chosen["width_bins"]
    assert abs(np.log(min(costs, key=costs.get) / width)) < np.log(2.1)  # the share of the mean is searched for too


def own_rhythms(seed, trials):
    """Seen channels that each have a fast rhythm of their own on a slow drive which all share; held-out channels have the drive alone."""
    rng = np.random.default_rng(seed)
    time = np.arange(60)
    drive = np.cumsum(rng.normal(size=(trials, 60)), axis=1)
    drive = np.stack([np.convolve(row, np.ones(15) / 15, "same") for row in drive])
    fast = np.sin(2 * np.pi * time[:, None] / 10 + rng.uniform(0, 7, (trials, 1, 6)))
    rates = np.exp(np.concatenate([0.25 * drive[..., None] + 1.5 * fast, np.repeat(0.5 * drive[..., None], 4, axis=2)], axis=2) + 0.5)
    data = rng.poisson(np.minimum(rates, 40)).astype(np.float32)
    sizes = {"encod_bins": 60, "encod_channels": 6, "support": "counts", "is_rate": True, "bin_ms": 20.0}
    return Evaluation(session="a", split="valid", means=rates, data=data, extras={}, **sizes)


def test_held_out_channels_have_a_width_of_their_own_chosen_on_held_out_channels_of_training_trials():
    e = replace(own_rhythms(1, 20), train=own_rhythms(0, 60))
    found, other = gaussian_smoothing(e, e.train)
    own = found.chosen["width_bins"]
    assert other == found.chosen["width_bins_unseen"] > own
    means = e.train.data.mean(axis=(0, 1))[:6]
    with_own = predict_unseen(e, e.train, smoother(own, means))[0][0]
    held_out = e.data[:, :, 6:]
    assert bits_per_spike(found.means[:, :, 6:], held_out) > bits_per_spike(with_own, held_out) + 0.01


def test_rates_of_a_poisson_regression_are_those_of_the_penalised_likelihood(evaluation):
    smoothing, width = gaussian_smoothing(evaluation, evaluation.train)
    found = poisson_regression(evaluation, evaluation.train, smoothing, width)
    np.testing.assert_array_equal(found.means[:, :26, :6], smoothing.means[:, :26, :6])
    x = standardised(evaluation, evaluation.train, smoother(width, evaluation.train.data[:, :26, :6].mean(axis=(0, 1))))
    from sklearn.linear_model import PoissonRegressor

    rows = x[1].reshape(-1, 6)
    model = PoissonRegressor(alpha=found.chosen["penalty"] / len(rows), tol=1e-10, max_iter=1000)
    model.fit(rows, evaluation.train.data[:, :26, 7].ravel())
    np.testing.assert_allclose(found.means[:, :26, 7], model.predict(x[0].reshape(-1, 6)).reshape(18, 26), rtol=1e-4)


def test_of_many_channels_and_few_trials_the_penalty_is_near_the_best_for_trials_that_nobody_has_seen():
    def many(seed, trials):
        rng = np.random.default_rng(seed)
        loadings, base = np.random.default_rng(9).normal(size=(2, 70)), np.log(0.1)
        drive = np.stack([np.convolve(row, np.ones(8) / 8, "same") for row in rng.normal(size=(trials * 2, 40))]).reshape(trials, 2, 40)
        data = rng.poisson(np.exp(base + 1.5 * np.einsum("bkt,kn->btn", drive, loadings))).astype(np.float32)
        sizes = {"encod_bins": 40, "encod_channels": 60, "support": "counts", "is_rate": True, "bin_ms": 20.0}
        return Evaluation(session="a", split="valid", means=data, data=data, extras={}, **sizes)

    e = replace(many(1, 200), train=many(0, 20))
    smoothing, width = gaussian_smoothing(e, e.train)
    found = poisson_regression(e, e.train, smoothing, width)
    x = standardised(e, e.train, smoother(width, e.train.data.mean(axis=(0, 1))[:60]))
    from sklearn.linear_model import PoissonRegressor

    def reached(penalty):
        fits = (PoissonRegressor(alpha=penalty / 800, max_iter=1000).fit(x[1].reshape(800, 60), e.train.data[..., n].ravel()) for n in range(60, 70))
        return bits_per_spike(np.stack([fit.predict(x[0].reshape(-1, 60)).reshape(200, 40) for fit in fits], axis=2), e.data[..., 60:])

    scores = {penalty: reached(penalty) for penalty in np.logspace(-1, 5, 13)}
    assert min(scores.values()) < 0 < max(scores.values())  # it matters here
    assert bits_per_spike(found.means[..., 60:], e.data[..., 60:]) > max(scores.values()) - 0.01


@pytest.mark.parametrize("best", range(9))
def test_going_downhill_ends_in_the_valley_wherever_it_is(best):
    tried = []

    def cost(candidate):
        tried.append(candidate)
        return abs(candidate - best) ** 1.5

    assert downhill(range(9), key=cost) == best
    assert len(tried) == len(set(tried))


def slowly_moving(seed, trials, noise):
    """Counts of channels that follow a slow position, with fast fluctuations of their own that neighbouring bins share."""
    rng = np.random.default_rng(seed)
    position = np.sin(2 * np.pi * (np.linspace(0, 1, 80) + rng.uniform(0, 1, (trials, 1))))
    wiggle = np.stack([np.convolve(row, np.ones(4) / 2, "same") for row in rng.normal(size=(trials * 6, 80))]).reshape(trials, 6, 80)
    rates = np.exp(np.einsum("bt,n->btn", position, np.linspace(-1, 1, 6)) + noise * wiggle.transpose(0, 2, 1) + 1)
    data = rng.poisson(rates).astype(np.float32)
    sizes = {"encod_bins": 80, "encod_channels": 6, "support": "counts", "is_rate": True, "bin_ms": 10.0}
    return Evaluation(session="a", split="valid", means=rates, data=data, extras={"behavior": position[..., None]}, **sizes)


def test_behaviour_is_decoded_from_smoothed_data_of_the_width_that_is_best_for_it():
    e = replace(slowly_moving(1, 30, 1.0), train=slowly_moving(0, 60, 1.0))
    found, _ = gaussian_smoothing(e, e.train)
    width = found.chosen["width_bins_behaviour"]
    scores = {}
    for candidate in widths(10.0, 80):
        parts = [part.data.astype(float) for part in (e.train, e)]
        blurred = [[gaussian_filter1d(values, candidate, axis=1, mode="constant") for values in (part, np.ones_like(part))] for part in parts]
        x = [(of / weight).reshape(-1, 6) for of, weight in blurred]  # what lies beyond the ends has no weight
        y = [part.extras["behavior"].ravel() for part in (e.train, e)]
        scores[candidate] = RidgeCV(np.logspace(-3, 3, 7)).fit(x[0], y[0]).score(x[1], y[1])
    assert width > 2 * found.chosen["width_bins"]
    assert scores[width] > max(scores.values()) - 0.02
    decoded, predicted = (behaviour_metrics(one)["velocity_r2"] for one in (found.decoding(e), found.evaluation(e)))  # without a lag, as above
    assert decoded > scores[width] - 0.02
    assert decoded > predicted + 0.05


def test_without_behaviour_nothing_is_smoothed_for_it_and_bins_that_are_not_seen_are_never_looked_at(evaluation):
    assert gaussian_smoothing(evaluation, evaluation.train)[0].decoding(evaluation) is None
    whole = replace(slowly_moving(1, 6, 0.5), encod_bins=70, train=replace(slowly_moving(0, 20, 0.5), encod_bins=70))
    later = whole.data.copy()
    later[:, 70:] += 50
    one, other = (gaussian_smoothing(e, e.train)[0].decoding(e).means for e in (whole, replace(whole, data=later)))
    assert one.shape == (6, 80, 6)
    np.testing.assert_array_equal(one, other)


def test_a_poisson_regression_that_makes_no_sense_says_why(evaluation):
    smoothing, width = gaussian_smoothing(evaluation, evaluation.train)
    real = replace(evaluation, support="real")
    assert poisson_regression(real, evaluation.train, smoothing, width).why_not == "the data are no counts"
    whole = {"encod_bins": 30, "encod_channels": 8}
    seen = replace(evaluation, **whole, train=replace(evaluation.train, **whole))
    assert poisson_regression(seen, seen.train, smoothing, width).why_not == "no held-out channels and no later bins"


def test_what_is_lacking_is_said(evaluation):
    bare = replace(evaluation, extras={})
    assert condition_average(bare, evaluation.train).why_not == "the file names no conditions"
    strange = replace(evaluation, extras={"cond": np.full(18, 9)})
    assert condition_average(strange, evaluation.train).why_not == "condition 9 has no training trial"
    single = replace(evaluation.train, extras={"cond": np.array([0, 1, *[2] * 58])})
    assert condition_average(evaluation, single).why_not == "a condition has a single training trial"
    assert {one.why_not for one in baselines(replace(evaluation, train=None))} == {"no training trials"}
    other = baselines(replace(evaluation, encod_channels=0))
    assert [one.why_not for one in other[1:]] == ["the input is of another modality"] * 3
    assert other[0].means is not None


def test_real_values_are_predicted_without_a_floor(evaluation):
    def real(e):
        return replace(e, data=e.data - 2, support="real", is_rate=False)

    found = baselines(replace(real(evaluation), train=real(evaluation.train)))
    assert all((one.means < 0).any() for one in found if one.name != "Poisson regression")


def test_factors_predict_what_the_conditional_mean_of_a_joint_normal_is():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 20, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(40, 20, 6)) + 1
    model = fit_factors(data, 4)
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise)
    x = data[0]
    expected = model.mean[4:] + (x[:, :4] - model.mean[:4]) @ np.linalg.solve(covariance[:4, :4], covariance[:4, 4:])
    np.testing.assert_allclose(model.predict(data[:1, :, :4])[0, :, 4:], expected, rtol=1e-6)
    assert 1 - ((model.predict(data[..., :4]) - data)[..., 4:] ** 2).mean() / data[..., 4:].var() > 0.8


def test_without_scikit_learn_factor_analysis_says_what_to_install(evaluation, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = baselines(evaluation)[3]
    assert (found.means, found.why_not) == (None, 'scikit-learn is not installed: pip install "lfads-core[evaluate]"')
