"""Baselines against definitions written out, and what they must not look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate.baselines import NAMES, baselines, condition_average, gaussian_smoothing
from lfads_plugins_lab.evaluate.factor_analysis import fit_factors
from lfads_plugins_lab.evaluate.kernels import neighbours, widths
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
    found, width = gaussian_smoothing(evaluation, evaluation.train)
    seen = evaluation.train.data[:, :26, :6]
    means, costs = seen.mean(axis=(0, 1)), {}
    for candidate in widths(20.0, 26):
        guess = 0.9 * neighbours(seen, candidate) + 0.1 * means
        costs[candidate] = (guess - seen * np.log(guess)).mean()
    assert found.chosen["width_bins"] == width
    assert abs(np.log(min(costs, key=costs.get) / width)) < np.log(2.1)  # the share of the mean is searched for too


def test_what_is_lacking_is_said(evaluation):
    bare = replace(evaluation, extras={})
    assert condition_average(bare, evaluation.train).why_not == "the file names no conditions"
    strange = replace(evaluation, extras={"cond": np.full(18, 9)})
    assert condition_average(strange, evaluation.train).why_not == "condition 9 has no training trial"
    single = replace(evaluation.train, extras={"cond": np.array([0, 1, *[2] * 58])})
    assert condition_average(evaluation, single).why_not == "a condition has a single training trial"
    assert {one.why_not for one in baselines(replace(evaluation, train=None))} == {"no training trials"}
    other = baselines(replace(evaluation, encod_channels=0))
    assert [one.why_not for one in other[1:]] == ["the input is of another modality"] * 2
    assert other[0].means is not None


def test_real_values_are_predicted_without_a_floor(evaluation):
    def real(e):
        return replace(e, data=e.data - 2, support="real", is_rate=False)

    found = baselines(replace(real(evaluation), train=real(evaluation.train)))
    assert all((one.means < 0).any() for one in found)


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
    found = baselines(evaluation)[2]
    assert (found.means, found.why_not) == (None, 'scikit-learn is not installed: pip install "lfads-core[evaluate]"')
