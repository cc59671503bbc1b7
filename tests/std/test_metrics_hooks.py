"""What the metrics of the standard package say about a split, and when they say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score as sklearn_r2

from lfads_core.metrics.evaluation import Evaluation
from lfads_core.metrics.spikes import bits_per_spike
from lfads_plugins_std import plugin


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
    assert numbers == {"behaviour_r2_0": pytest.approx(1.0, abs=1e-6), "behaviour_r2_1": pytest.approx(1.0, abs=1e-6)}


@pytest.mark.parametrize("behaviour", [None, np.ones((12, 10)), np.ones((12, 9, 2))])
def test_without_behaviour_that_fits_nothing_is_decoded(metrics, evaluation, behaviour):
    extras = {} if behaviour is None else {"behavior": behaviour}
    assert metrics["velocity"](replace(evaluation, extras=extras)) == {}


def test_too_few_trials_for_five_folds_decode_nothing(metrics, evaluation):
    e = evaluation
    few = replace(e, means=e.means[:4], data=e.data[:4], extras={"behavior": e.extras["behavior"][:4]})
    assert metrics["velocity"](few) == {}
