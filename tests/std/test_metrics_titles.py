"""What numbers are called where people read them, and in which unit."""

from __future__ import annotations

import pytest

from lfads_plugins_std.metrics.titles import METRICS, column_title, score_text, score_title, sentence, title, unit_of_column


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("co_bps", "bits per spike, held-out channels (co-bps)"),
        ("behaviour_lag_ms", "lag of behaviour behind rates (ms)"),
        ("behaviour_r2_0", "R² of decoded hand x"),
        ("behaviour_r2_1", "R² of decoded hand y"),
        ("behaviour_r2_2", "R² of decoded behaviour, dimension 2"),
        ("behaviour_r2_x", "R² of decoded behaviour, dimension x"),
        ("behaviour_fold_r2_1", "R² of decoded hand y (no lag, own trials)"),
        ("somebodys_own_score", "somebodys own score"),
    ],
)
def test_metrics_are_called_by_what_they_measure_and_unknown_ones_by_their_name(metric, expected):
    assert title(metric, ["hand x", "hand y"]) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("recon", "reconstruction cost"),
        ("recon/monday", "reconstruction cost, monday"),
        ("co_bps", METRICS["co_bps"]),
        ("co_bps/monday", f"{METRICS['co_bps']}, monday"),
        ("behaviour_r2_0", "R² of decoded hand x"),
        ("behaviour_r2_0/monday", "R² of decoded hand x, monday"),
        ("loss_ramp/be-have", "of be have"),
        ("prior/tau", "tau of the prior of latents"),
        ("prior/inputs/log_tau", "log tau of the prior of inferred inputs"),
        ("prior/monday/ic/mean", "mean of the prior of initial conditions"),
        ("prior/my-own/mean", "mean of the prior of my own"),
        ("latent/task_state/kl", "KL divergence of task state"),
        ("latent/task_state/kl/monday", "KL divergence of task state, monday"),
        ("loss/my_loss/cost", "my loss: cost"),
        ("loss/my_loss/the_cost/monday", "my loss: the cost, monday"),
        ("some_column", "some column"),
    ],
)
def test_columns_of_the_log_are_called_by_what_they_hold(column, expected):
    assert column_title(column, ["hand x"]) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("valid/co_bps", "bits per spike, held-out channels (co-bps), validation trials"),
        ("valid/co_bps_smooth", "bits per spike, held-out channels (co-bps), validation trials (smoothed)"),
        ("train/recon/monday", "reconstruction cost, monday, training trials"),
        ("test/total", "loss, test trials"),
        ("valid/behaviour_r2_0", "R² of decoded behaviour, dimension 0, validation trials"),
        ("seconds", "seconds"),
        ("my/co_bps", "my, co_bps"),
        ("valid", "valid"),
        ("lr_smooth", "lr smooth"),
    ],
)
def test_scores_are_called_with_their_split(column, expected):
    assert score_title(column) == expected


def test_a_sentence_begins_with_a_capital_letter_and_changes_nothing_else():
    assert sentence("R² of own Trials") == "R² of own Trials"
    assert sentence("loss of Monday") == "Loss of Monday"
    assert sentence("") == ""


@pytest.mark.parametrize(
    ("value", "metric", "expected"),
    [
        (None, "co_bps", "n/a"),
        (0.12345, "co_bps", "0.123"),
        (-120.0, "behaviour_lag_ms", "-120"),
        (1.0, "behaviour_lag_at_edge", "yes"),
        (0.0, "behaviour_lag_at_edge", "no"),
    ],
)
def test_scores_have_the_digits_that_are_asked_for_lags_whole_ms_and_questions_an_answer(value, metric, expected):
    assert score_text(value, metric, 3) == expected


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("recon", "nats/event"),
        ("recon/monday", "nats/event"),
        ("heldout", "nats/event"),
        ("masked", "nats/event"),
        ("bps", "bits/spike"),
        ("co_bps_smooth", "bits/spike"),
        ("fp_bps/monday", "bits/spike"),
        ("ic_kl", "nats/trial"),
        ("input_kl/monday", "nats/trial"),
        ("latent/state/kl", "nats/trial"),
        ("lr", "per step"),
        ("ramps", "share of the full weight"),
        ("tp_corr", "r"),
        ("r2_truth", "R²"),
        ("velocity_r2", "R²"),
        ("behaviour_lag_ms", "ms"),
        ("total", ""),
        ("my_score", ""),
    ],
)
def test_columns_have_the_unit_of_what_they_hold(column, unit):
    assert unit_of_column(column, "nats/event") == unit


def test_a_cost_is_in_nats_a_value_unless_something_else_is_said():
    assert unit_of_column("recon") == "nats/value"
