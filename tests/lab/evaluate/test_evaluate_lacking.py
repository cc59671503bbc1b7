"""Why a metric has no number for these data, and in which order metrics are shown."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_lab.evaluate.lacking import lacking, ordered

TRUE_RATES = dict.fromkeys(("r2_truth", "r2_truth_median", "r2_truth_vw"), "the file has no true rates")


def evaluation(*, bins=6, channels=3, support="counts", is_rate=True, bin_ms=5.0, train=None, **extras):
    """Four trials of 6 bins and 3 channels, of which the encoders see as many as it says."""
    data = np.ones((4, 6, 3))
    return Evaluation(
        session="day", split="valid", means=data, data=data, encod_bins=bins, encod_channels=channels, support=support, is_rate=is_rate,
        bin_ms=bin_ms, train=train, extras=extras,
    )  # fmt: skip


def test_each_metric_of_counts_that_is_missing_has_its_reason():
    assert lacking(evaluation(), {"bps": 0.1}) == {
        "co_bps": "no channels are held out (--hold-out)",
        "fp_bps": "no bins beyond the encoded ones",
        "psth_own_r2": "the file names no conditions",
        "velocity_r2": "the file has no behaviour (trials, bins, dimensions)",
        "tp_corr": "the file has no times produced (behaviour of trials by columns)",
        **TRUE_RATES,
    }


@pytest.mark.parametrize(("support", "is_rate"), [("real", False), ("counts", False), ("nonnegative", True)])
def test_data_that_are_no_expected_counts_have_other_scores(support, is_rate):
    found = lacking(evaluation(support=support, is_rate=is_rate), {"co_r2": 0.2, "psth_own_r2": 0.1, "velocity_r2": 0.3, "tp_corr": 0.4})
    assert found == {
        **dict.fromkeys(("bps", "co_bps", "fp_bps"), "the data are no counts"),
        "r2": "nothing was observed",
        "fp_r2": "no bins beyond the encoded ones",
        **TRUE_RATES,
    }


def test_where_channels_are_held_out_and_bins_later_nothing_was_observed_of_them():
    given = {"psth_r2": 0.1, "velocity_r2": 0.1, "tp_corr": 0.1, **dict.fromkeys(TRUE_RATES, 0.1)}
    counts = lacking(evaluation(bins=5, channels=2, train=evaluation()), given)
    assert counts == dict.fromkeys(("bps", "co_bps", "fp_bps"), "nothing was observed")
    real = lacking(evaluation(bins=5, channels=2, support="real", train=evaluation()), given)
    assert {name for name, why in real.items() if why == "nothing was observed"} == {"r2", "co_r2", "fp_r2"}


def test_averages_of_own_trials_are_missed_only_where_there_are_no_training_trials():
    alone, among_all = lacking(evaluation(), {}), lacking(evaluation(train=evaluation()), {})
    assert alone.keys() - among_all.keys() == {"psth_own_r2"}
    assert among_all.keys() - alone.keys() == {"psth_r2"}
    assert alone["psth_own_r2"] == among_all["psth_r2"] == "the file names no conditions"


def test_condition_averages_need_conditions_of_several_trials_and_the_width_of_bins():
    labels = np.arange(4)
    assert lacking(evaluation(cond=labels), {})["psth_own_r2"] == "fewer than two conditions with two trials each"
    assert lacking(evaluation(cond=labels, bin_ms=None), {})["psth_own_r2"] == "the file does not say how wide bins are (bin_ms)"
    assert lacking(evaluation(bin_ms=None), {})["psth_own_r2"] == "the file names no conditions"


@pytest.mark.parametrize("key", ["behavior", "behaviour"])
def test_behaviour_of_trials_bins_and_dimensions_is_no_movement_if_it_has_no_score(key):
    found = lacking(evaluation(**{key: np.ones((4, 6, 2))}), {})
    assert found["velocity_r2"] == "too few trials, or none to fit, or the behaviour is no movement"
    assert lacking(evaluation(**{key: np.ones((4, 2))}), {})["velocity_r2"] == "the file has no behaviour (trials, bins, dimensions)"


def test_metrics_are_shown_in_their_order_with_behaviour_before_its_mean_and_lags_last_of_it():
    shuffled = [
        "zeta", "r2_truth", "behaviour_lag_at_edge", "velocity_r2", "behaviour_r2_1", "alpha", "bps", "behaviour_lag_ms", "psth_r2", "tp_corr",
        "behaviour_fold_r2_0", "behaviour_r2_0", "co_bps",
    ]  # fmt: skip
    assert ordered(shuffled) == [
        "bps", "co_bps", "psth_r2", "behaviour_fold_r2_0", "behaviour_r2_0", "behaviour_r2_1", "behaviour_lag_ms", "behaviour_lag_at_edge",
        "velocity_r2", "tp_corr", "r2_truth", "zeta", "alpha",
    ]  # fmt: skip
