"""PSTH scores against a loop written from the definition, and the published fixtures."""

from __future__ import annotations

import math
import re

import h5py
import numpy as np
import pytest

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.psth import eval_psth, psth_r2_per_channel, shift_trials


def test_trials_move_later_by_their_own_bins_and_leave_nan_behind():
    rates = np.arange(8.0).reshape(2, 4, 1)
    moved = shift_trials(rates, np.array([1, -2]))
    np.testing.assert_array_equal(moved[..., 0], [[np.nan, 0, 1, 2], [6, 7, np.nan, np.nan]])


def test_score_is_one_for_the_true_averages_and_skips_empty_conditions():
    rng = np.random.default_rng(0)
    rates = rng.gamma(2.0, size=(9, 6, 3))
    trials = [np.array([0, 4, 5]), np.array([], dtype=int), np.array([1, 2, 3, 6, 7, 8])]
    psth = np.stack([rates[t].mean(0) if len(t) else np.full((6, 3), 99.0) for t in trials])
    assert eval_psth(psth, rates, trials) == pytest.approx(1.0, abs=1e-12)
    assert math.isnan(eval_psth(psth, rates, [trials[1]] * 3))


def test_score_follows_the_definition_bin_by_bin():
    rng = np.random.default_rng(1)
    rates, psth = rng.gamma(2.0, size=(5, 6, 2)), rng.gamma(2.0, size=(2, 6, 2))
    psth[1, 4:] = np.nan
    trials = [np.array([0, 3]), np.array([1, 2, 4])]
    scores = []
    for n in range(2):
        guess, target = [], []
        for k, t in ((k, t) for k in range(2) for t in range(6)):
            if not math.isnan(psth[k, t, 0]):
                guess.append(sum(rates[b, t, n] for b in trials[k]) / len(trials[k]))
                target.append(psth[k, t, n])
        mean = sum(target) / len(target)
        scores.append(1 - sum((g - y) ** 2 for g, y in zip(guess, target, strict=True)) / sum((y - mean) ** 2 for y in target))
    assert eval_psth(psth, rates, trials) == pytest.approx(sum(scores) / 2, rel=1e-12)
    assert eval_psth(psth[..., :1], rates[..., :1], trials) == pytest.approx(scores[0], rel=1e-12)


def test_rates_are_moved_by_their_jitter_and_the_rest_is_not_scored():
    rng = np.random.default_rng(2)
    psth, trials, jitter = rng.normal(size=(2, 7, 3)), [np.array([0, 3]), np.array([1, 2])], np.array([2, -1, 0, 1])
    psth[0, :2] = np.nan
    psth[1, 6:] = np.nan
    earlier = np.stack([np.roll(psth[k], -move, axis=0) for k, move in zip([0, 1, 1, 0], jitter, strict=True)])  # rolled back where it was known
    assert eval_psth(psth, np.nan_to_num(earlier), trials, jitter) == pytest.approx(1.0)
    np.testing.assert_allclose(psth_r2_per_channel(psth, np.nan_to_num(earlier), trials, jitter), 1.0)
    assert eval_psth(psth, np.nan_to_num(earlier), trials) < 0.5


def test_moved_trials_are_in_double_precision():
    assert shift_trials(np.ones((2, 4, 1), np.float32), np.array([1, 0])).dtype == np.float64


def test_conditions_that_do_not_fit_are_refused():
    text = "eval_psth: 'psth' must be (conditions, bins, channels) for 1 conditions and rates (5, 6, 2), got (2, 6, 2)."
    with pytest.raises(DataError, match=re.escape(text)):
        eval_psth(np.ones((2, 6, 2)), np.ones((5, 6, 2)), [np.array([0])])


def test_published_values_are_met(shared):
    with h5py.File(shared / "parity/open/n_nlb_tools.h5") as file:
        group = file["eval_psth"]
        trials = [group["cond_idx"][str(k)][()] for k in range(4)]
        rates, jitter = group["rates"][()], group["jitter"][()]
        assert eval_psth(group["psth"][()], rates, trials) == pytest.approx(group["value"][()], rel=1e-9)
        assert eval_psth(group["psth_with_nan"][()], rates, trials) == pytest.approx(group["value_with_nan"][()], rel=1e-9)
        scored = eval_psth(group["psth_for_jitter"][()], rates, trials, jitter)
        assert scored == pytest.approx(group["value_with_jitter"][()], rel=1e-9)
