"""What the metrics of the standard package say about a split, and when they say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score as sklearn_r2

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_std import plugin
from lfads_plugins_std.metrics.spikes import bits_per_spike


@pytest.fixture
def metrics():
    return {spec.name: spec.compute for spec in plugin.lfads_metrics()}


@pytest.fixture
def evaluation():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 0.3, (12, 10, 6))
    means = truth * rng.gamma(50.0, 1 / 50, truth.shape)
    return Evaluation(
        session="monkey",
        split="valid",
        means=means,
        data=rng.poisson(truth).astype(float),
        encod_bins=8,
        encod_channels=4,
        support="counts",
        is_rate=True,
        extras={"truth": truth, "behavior": truth[..., :2] + 1},
    )


def test_bits_per_spike_comes_by_region(metrics, evaluation):
    e = evaluation
    numbers = metrics["bits-per-spike"](e)
    assert numbers == {
        "bps": bits_per_spike(e.means[:, :8, :4], e.data[:, :8, :4]),
        "co_bps": bits_per_spike(e.means[:, :8, 4:], e.data[:, :8, 4:]),
        "fp_bps": bits_per_spike(e.means[:, 8:], e.data[:, 8:]),
    }


def test_empty_regions_and_other_data_have_no_bits_per_spike(metrics, evaluation):
    compute = metrics["bits-per-spike"]
    assert set(compute(replace(evaluation, encod_bins=10, encod_channels=6))) == {"bps"}
    assert compute(replace(evaluation, support="positive")) == {}
    assert compute(replace(evaluation, is_rate=False)) == {}


def test_r2_to_the_truth_is_plain_weighted_and_median(metrics, evaluation):
    truth, means = (x.reshape(-1, 6) for x in (evaluation.extras["truth"], evaluation.means))
    numbers = metrics["r2-truth"](evaluation)
    assert numbers["r2_truth"] == pytest.approx(sklearn_r2(truth, means))
    assert numbers["r2_truth_vw"] == pytest.approx(sklearn_r2(truth, means, multioutput="variance_weighted"))
    assert numbers["r2_truth_median"] == pytest.approx(np.median(sklearn_r2(truth, means, multioutput="raw_values")))


@pytest.mark.parametrize("truth", [None, np.ones((12, 10, 5)), np.full((12, 10, 6), np.nan), np.ones((12, 10, 6))])
def test_without_a_truth_that_fits_and_varies_there_is_no_r2(metrics, evaluation, truth):
    extras = {} if truth is None else {"truth": truth}
    assert metrics["r2-truth"](replace(evaluation, extras=extras)) == {}


@pytest.mark.parametrize("key", ["behavior", "behaviour"])
def test_behaviour_is_decoded_per_dimension_in_either_spelling(metrics, evaluation, key):
    extras = {key: evaluation.means[..., :2] * 3 - 1}
    numbers = metrics["velocity"](replace(evaluation, extras=extras))
    assert numbers == {"behaviour_fold_r2_0": pytest.approx(1.0, abs=1e-6), "behaviour_fold_r2_1": pytest.approx(1.0, abs=1e-6)}


@pytest.mark.parametrize("behaviour", [None, np.ones((12, 10)), np.ones((12, 9, 2))])
def test_without_behaviour_that_fits_nothing_is_decoded(metrics, evaluation, behaviour):
    extras = {} if behaviour is None else {"behavior": behaviour}
    assert metrics["velocity"](replace(evaluation, extras=extras)) == {}


def test_too_few_trials_for_five_folds_decode_nothing(metrics, evaluation):
    e = evaluation
    few = replace(e, means=e.means[:4], data=e.data[:4], extras={"behavior": e.extras["behavior"][:4]})
    assert metrics["velocity"](few) == {}


def test_r2_to_the_data_comes_by_region_and_not_for_counts(metrics, evaluation):
    e = replace(evaluation, support="nonnegative", is_rate=False)
    numbers = metrics["r2-data"](e)
    assert set(numbers) == {"r2", "co_r2", "fp_r2"}
    part = e.data[:, :8, 4:].reshape(-1, 2), e.means[:, :8, 4:].reshape(-1, 2)
    assert numbers["co_r2"] == pytest.approx(sklearn_r2(*part, multioutput="variance_weighted"))
    assert metrics["r2-data"](evaluation) == {}


def test_condition_averages_are_scored_where_there_are_conditions(metrics, evaluation):
    e = replace(evaluation, extras={"cond": np.arange(12) % 2}, bin_ms=7.0)
    data = np.asarray(e.data, dtype=float)
    weights = np.array([[np.exp(-0.5 * ((t - u) * 7 / 50) ** 2) for u in range(data.shape[1])] for t in range(data.shape[1])])  # 50 ms in bins of 7
    smoothed = np.einsum("tu,bun->btn", weights / weights.sum(axis=1, keepdims=True), data)
    target = np.concatenate([smoothed[k::2].mean(axis=0) for k in range(2)])
    guess = np.concatenate([e.means[k::2].mean(axis=0) for k in range(2)])
    assert metrics["psth"](e) == {"psth_own_r2": pytest.approx(sklearn_r2(target, guess))}
    assert metrics["psth"](evaluation) == {}
    assert metrics["psth"](replace(e, bin_ms=None)) == {}  # smoothed by 50 ms or not is another number
    assert set(metrics["psth"](replace(e, train=e))) == {"psth_r2"}


def test_the_speed_of_rates_is_held_against_a_duration(metrics, evaluation):
    e = replace(evaluation, encod_channels=6)
    speed = np.linalg.norm(np.diff(e.means, axis=1), axis=2).mean(axis=1)
    columns = np.column_stack([np.zeros((12, 3)), 3 - 2 * speed])
    assert metrics["tp-corr"](replace(e, extras={"behavior": columns})) == {"tp_corr": pytest.approx(-1.0)}
    assert metrics["tp-corr"](replace(e, extras={"behavior": columns[:, :3]})) == {}
    assert metrics["tp-corr"](replace(e, extras={"behavior": columns[:11]})) == {}
    assert metrics["tp-corr"](replace(e, extras={"behavior": np.tile([0.0, 0, 0, 1], (12, 1))})) == {}
    assert metrics["tp-corr"](replace(e, extras={})) == {}
    assert metrics["tp-corr"](e) == {}


def test_velocity_is_decoded_as_the_benchmark_does_within_groups_of_trials(metrics, evaluation):
    from lfads_plugins_std.metrics.behaviour import velocity_decoding

    rng = np.random.default_rng(5)
    behaviour, masks = rng.normal(size=(12, 10, 2)), np.column_stack([np.arange(12) < 5, np.arange(12) >= 5]).astype(float)
    e = replace(evaluation, extras={"behavior": behaviour, "decode_mask": masks})
    train = replace(e, split="train", extras={"behavior": behaviour[::-1], "decode_mask": masks[::-1]})
    numbers = metrics["velocity"](replace(e, train=train))
    assert numbers["velocity_r2"] == velocity_decoding(e.means, behaviour[::-1], masks[::-1], e.means, behaviour, masks)
    for said, there in {"hand velocity, mm/s": True, "task phase, 0 to 1": False}.items():
        assert ("velocity_r2" in metrics["velocity"](replace(e, train=train, behaviour=said))) is there
    ones = np.ones((12, 1))
    plain = metrics["velocity"](replace(e, train=replace(train, extras={"behavior": behaviour[::-1]}), extras={"behavior": behaviour}))
    assert plain["velocity_r2"] == velocity_decoding(e.means, behaviour[::-1], ones, e.means, behaviour, ones)


@pytest.mark.parametrize(("bin_ms", "late", "edge"), [(7.0, 9, 0.0), (10.0, 6, 0.0), (10.0, 0, 0.0), (20.0, 20, 1.0)])
def test_behaviour_is_decoded_at_the_lag_that_is_named_and_the_edge_of_the_grid_is_said(metrics, bin_ms, late, edge):
    """Behaviour that is the rate some bins before; the grid is -200, -180 ... 400 ms in whole bins."""
    rng = np.random.default_rng(0)

    def trials(count, seed):
        rates = gaussian_filter1d(np.random.default_rng(seed).normal(size=(count, 60, 4)), 2, axis=1)
        behaviour = np.roll(rates[..., :1], late, axis=1) + 1e-3 * rng.normal(size=(count, 60, 1))
        behaviour[:, :late] = np.nan
        return Evaluation(
            session="s",
            split="train",
            means=rates,
            data=rates,
            encod_bins=60,
            encod_channels=4,
            support="real",
            is_rate=False,
            bin_ms=bin_ms,
            extras={"behavior": behaviour},
        )

    found = metrics["velocity"](replace(trials(20, 1), train=trials(40, 2)))
    assert found["behaviour_lag_ms"] == pytest.approx(late * bin_ms)
    assert found["behaviour_lag_at_edge"] == edge
    assert found["behaviour_r2_0"] > 0.99
    assert (found["velocity_r2"] > 0.99) == (late == 0)
    unknown = metrics["velocity"](replace(trials(20, 1), bin_ms=None, train=replace(trials(40, 2), bin_ms=None)))
    assert set(unknown) == {"velocity_r2"}
    assert set(metrics["velocity"](trials(20, 1))) == {"behaviour_fold_r2_0"}
    elsewhere = metrics["velocity"](replace(trials(20, 1), train=replace(trials(40, 2), extras={})))
    assert set(elsewhere) == {"behaviour_fold_r2_0"}


@pytest.mark.parametrize(
    ("bin_ms", "bins", "expected"),
    [
        (20.0, 200, [*range(-10, 0, 2), *range(11), 12, 14, 17, 20]),
        (40.0, 11, [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5]),
        (40.0, 10, [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5]),
        (40.0, 9, [-4, -3, -2, -1, 0, 1, 2, 3, 4]),
        (500.0, 8, [0, 1]),
    ],
)
def test_lags_are_from_minus_200_to_400_ms_but_no_more_than_half_a_trial(bin_ms, bins, expected):
    from lfads_plugins_std.metrics.offered import lags_in_bins

    assert lags_in_bins(bin_ms, bins) == expected


def test_a_lag_at_either_end_of_the_grid_is_said_to_be_there(metrics):
    rng = np.random.default_rng(1)

    def trials(count):
        rates = rng.normal(size=(count, 30, 4))
        behaviour = np.roll(rates[..., :1], -10, axis=1)
        behaviour[:, -10:] = np.nan
        some = {"session": "s", "split": "train", "support": "real", "is_rate": False, "encod_bins": 30, "encod_channels": 4, "bin_ms": 20.0}
        return Evaluation(means=rates, data=rates, extras={"behavior": behaviour}, **some)

    found = metrics["velocity"](replace(trials(10), train=trials(20)))
    assert (found["behaviour_lag_ms"], found["behaviour_lag_at_edge"]) == (-200.0, 1.0)


def test_lags_are_compared_with_one_small_penalty(metrics):
    """Of noise, where another penalty would pick another lag."""
    rng = np.random.default_rng(4)
    rates, behaviour = rng.normal(size=(10, 8, 6)) * 0.1, rng.normal(size=(10, 8, 1))
    fold, scores = np.arange(10) % 5, {}
    for lag in range(-4, 5):
        x, y = rates[:, max(0, -lag) : 8 - max(0, lag)], behaviour[:, max(0, lag) : 8 + min(0, lag)]
        guess = np.empty_like(y)
        for k in range(5):
            model = SklearnRidge(alpha=0.01).fit(x[fold != k].reshape(-1, 6), y[fold != k].ravel())
            guess[fold == k] = model.predict(x[fold == k].reshape(-1, 6)).reshape(-1, y.shape[1], 1)
        scores[lag] = sklearn_r2(y.ravel(), guess.ravel())
    some = {"session": "s", "split": "train", "support": "real", "is_rate": False, "encod_bins": 8, "encod_channels": 6, "bin_ms": 20.0}
    e = Evaluation(means=rates, data=rates, extras={"behavior": behaviour}, **some)
    tried = [lag for lag in scores if lag >= 0 or lag % 2 == 0]
    assert metrics["velocity"](replace(e, train=e))["behaviour_lag_ms"] == 20.0 * max(tried, key=scores.__getitem__)
