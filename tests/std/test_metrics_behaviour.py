"""Ridge decoding against scikit-learn, correlations against scipy, both against the published fixtures."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score as sklearn_r2
from sklearn.model_selection import GridSearchCV, KFold

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.behaviour import decode, decode_within, lag_pair, speed_tp_correlation, velocity_decoding
from lfads_plugins_std.metrics.ridge import ALPHAS, contiguous_folds, fit_ridge, fit_ridge_cv


def _problem(rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)) @ rng.normal(size=(6, 6)) + 3.0
    return x, x[:, :2] @ rng.normal(size=(2, 2)) + 2 * rng.normal(size=(rows, 2))


@pytest.mark.parametrize("alpha", [1e-4, 1.0, 300.0])
def test_ridge_is_scikit_learns(alpha):
    x, y = _problem(40)
    ours, theirs = fit_ridge(x, y, alpha), SklearnRidge(alpha=alpha).fit(x, y)
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, rtol=1e-9)
    np.testing.assert_allclose(ours(x), theirs.predict(x), rtol=1e-9)


@pytest.mark.parametrize("rows", [5, 6, 9, 43])
def test_folds_are_scikit_learns_unshuffled_ones(rows):
    theirs = [test for _, test in KFold(5).split(np.zeros(rows))]
    for ours, fold in zip(contiguous_folds(rows, 5), theirs, strict=True):
        np.testing.assert_array_equal(ours, fold)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alphas", [ALPHAS, (0.1, 1.0, 10.0, 100.0, 1000.0)])
def test_the_penalty_is_the_one_a_grid_search_picks(seed, alphas):
    x, y = _problem(33, seed)
    search = GridSearchCV(SklearnRidge(), {"alpha": list(alphas)}).fit(x, y)
    fit = fit_ridge_cv(x, y, alphas)
    assert fit.alpha == search.best_params_["alpha"]
    np.testing.assert_allclose(fit(x), search.predict(x), rtol=1e-9)


def test_an_output_that_never_changes_in_a_fold_is_scored_as_scikit_learn_scores_it():
    x, y = _problem(33)
    y[:, 0] = 0.0
    y[20, 0] = 1.0
    search = GridSearchCV(SklearnRidge(), {"alpha": [0.1, 10.0, 1000.0]}).fit(x, y)
    assert fit_ridge_cv(x, y, (0.1, 10.0, 1000.0)).alpha == search.best_params_["alpha"]


@pytest.mark.parametrize("seed", [16, 43, 169, 265])
def test_outputs_that_hardly_vary_in_a_fold_or_not_at_all_count_as_scikit_learn_counts_them(seed):
    """Data for which another rule for such folds picks another penalty."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(15, 4))
    y = x[:, :2] * 0.5 + rng.normal(size=(15, 2))
    y[:, 1] = 0
    y[rng.integers(0, 15), 1] = 5
    if seed % 2:
        y[6:9, 0] = y[6, 0]
    alphas = (0.1, 1.0, 10.0, 100.0, 1000.0)
    search = GridSearchCV(SklearnRidge(), {"alpha": list(alphas)}).fit(x, y * 0.3)
    assert fit_ridge_cv(x, y * 0.3, alphas).alpha == search.best_params_["alpha"]


def test_of_two_penalties_the_better_is_picked():
    x, y = _problem(33)
    for alphas in ((1e-4, 1e6), (1e6, 1e-4)):
        assert fit_ridge_cv(x, y, alphas).alpha == GridSearchCV(SklearnRidge(), {"alpha": list(alphas)}).fit(x, y).best_params_["alpha"]


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match=re.escape("ridge: 5 folds need at least 5 rows, got 4. Use more data or fewer folds.")):
        fit_ridge_cv(np.ones((4, 1)), np.ones((4, 1)))


def test_decoding_pairs_rates_with_later_behaviour():
    rng = np.random.default_rng(2)
    rates = rng.normal(size=(20, 30, 3))
    behaviour = np.zeros((20, 30, 2))
    behaviour[:, 4:] = (rates @ rng.normal(size=(3, 2)))[:, :-4]
    np.testing.assert_allclose(decode(rates[:15], behaviour[:15], rates[15:], behaviour[15:], lag_bins=4), 1.0, atol=1e-6)
    assert (decode(rates[:15], behaviour[:15], rates[15:], behaviour[15:]) < 0.2).all()
    np.testing.assert_allclose(decode_within(rates, behaviour, lag_bins=4), 1.0, atol=1e-6)
    x, y = lag_pair(behaviour, rates, -4)
    np.testing.assert_array_equal(x, behaviour[:, 4:])
    np.testing.assert_array_equal(y, rates[:, :-4])


def test_decoding_leaves_out_bins_without_behaviour():
    rng = np.random.default_rng(2)
    rates = rng.normal(size=(12, 10, 3))
    behaviour = rates[..., :2].copy()
    behaviour[3, 2:5, 1] = np.nan
    np.testing.assert_allclose(decode(rates[:9], behaviour[:9], rates[9:], behaviour[9:]), 1.0, atol=1e-6)


def test_decoding_within_a_split_never_scores_trials_it_was_fitted_to():
    """With more channels than bins any fit is perfect on its own trials, but noise cannot be decoded in others."""
    rng = np.random.default_rng(2)
    assert (decode_within(rng.normal(size=(10, 3, 40)), rng.normal(size=(10, 3, 1))) < 0).all()
    np.testing.assert_array_equal(decode_within(np.ones((4, 3, 2)), np.ones((4, 3, 1))), [np.nan])


def _by_folds(rates, behaviour, alpha):
    """R2 of all trials together, trial i decoded by a fit to those that are not i mod 5."""
    guess = np.empty_like(behaviour)
    fold = np.array([trial % 5 for trial in range(len(rates))])
    for k in range(5):
        model = SklearnRidge(alpha=alpha).fit(rates[fold != k].reshape(-1, rates.shape[2]), behaviour[fold != k].reshape(-1, behaviour.shape[2]))
        guess[fold == k] = model.predict(rates[fold == k].reshape(-1, rates.shape[2])).reshape(behaviour[fold == k].shape)
    return sklearn_r2(behaviour.reshape(-1, behaviour.shape[2]), guess.reshape(-1, behaviour.shape[2]), multioutput="raw_values")


@pytest.mark.parametrize("trials", [5, 11])
def test_trials_are_decoded_from_five_folds_with_the_penalty_that_is_given(trials):
    rng = np.random.default_rng(6)
    rates, behaviour = rng.normal(size=(trials, 7, 3)), rng.normal(size=(trials, 7, 2))
    np.testing.assert_allclose(decode_within(rates, behaviour, alphas=(30.0,)), _by_folds(rates, behaviour, 30.0))


def test_what_is_decoded_in_other_trials_is_with_the_penalty_that_is_given():
    rng = np.random.default_rng(7)
    rates, behaviour = rng.normal(size=(9, 7, 3)), rng.normal(size=(9, 7, 2))
    model = SklearnRidge(alpha=40.0).fit(rates[:6].reshape(-1, 3), behaviour[:6].reshape(-1, 2))
    expected = sklearn_r2(behaviour[6:].reshape(-1, 2), model.predict(rates[6:].reshape(-1, 3)), multioutput="raw_values")
    np.testing.assert_allclose(decode(rates[:6], behaviour[:6], rates[6:], behaviour[6:], alphas=(40.0,)), expected)


def test_single_precision_is_decoded_in_double():
    rng = np.random.default_rng(8)
    arrays = [(1e3 + rng.normal(size=shape)).astype(np.float32) for shape in ((9, 7, 3), (9, 7, 2), (6, 7, 3), (6, 7, 2))]
    np.testing.assert_array_equal(decode(*arrays), decode(*(x.astype(float) for x in arrays)))


def test_behaviour_of_another_length_is_refused():
    text = "decoding: behaviour must be (trials, bins, dimensions) for rates (4, 3, 2) and the lag shorter than a trial, got (4, 5, 1) and 0 bins."
    with pytest.raises(DataError, match=re.escape(text)):
        lag_pair(np.ones((4, 3, 2)), np.ones((4, 5, 1)), 0)
    for lag in (3, -3):
        with pytest.raises(DataError, match=re.escape(f"got (4, 3, 1) and {lag} bins.")):
            lag_pair(np.ones((4, 3, 2)), np.ones((4, 3, 1)), lag)


def test_masks_of_other_groups_or_trials_are_refused():
    rates, behaviour = np.ones((6, 5, 2)), np.ones((6, 5, 1))
    for train, valid in (((6, 2), (6, 3)), ((5, 2), (6, 2)), ((6, 2), (5, 2)), ((6,), (6,))):
        text = f"decoding: masks must be (trials, groups), of 6 and 6 trials and the same groups, got {train} and {valid}."
        with pytest.raises(DataError, match=re.escape(text)):
            velocity_decoding(rates, behaviour, np.ones(train), rates, behaviour, np.ones(valid))


def test_velocity_decoding_is_a_grid_search_per_group():
    rng = np.random.default_rng(5)
    rates, valid_rates = rng.normal(size=(12, 6, 4)), rng.normal(size=(9, 6, 4))
    weights = rng.normal(size=(4, 2))
    behaviour, valid_behaviour = (r @ weights + rng.normal(size=(*r.shape[:2], 2)) for r in (rates, valid_rates))
    behaviour[1, 2:4] = np.nan
    masks, valid_masks = np.arange(12)[:, None] % 2 == [0, 1], np.arange(9)[:, None] % 2 == [0, 1]
    for search in (True, False):
        scores = []
        for q in range(2):
            x, y = rates[masks[:, q]].reshape(-1, 4), behaviour[masks[:, q]].reshape(-1, 2)
            known = ~np.isnan(y[:, 0])
            model = GridSearchCV(SklearnRidge(), {"alpha": np.logspace(-4, 0, 9)}) if search else SklearnRidge(alpha=0.01)
            model.fit(x[known], y[known])
            guess = model.predict(valid_rates[valid_masks[:, q]].reshape(-1, 4))
            scores.append(sklearn_r2(valid_behaviour[valid_masks[:, q]].reshape(-1, 2), guess))
        ours = velocity_decoding(rates, behaviour, masks, valid_rates, valid_behaviour, valid_masks, search=search)
        assert ours == pytest.approx(np.mean(scores), rel=1e-9)
        assert (velocity_decoding(rates, behaviour, masks, valid_rates, valid_behaviour, valid_masks) == ours) is search


def test_speed_is_correlated_within_each_condition():
    rng = np.random.default_rng(4)
    rates, observed = rng.normal(size=(12, 8, 3)), np.zeros((12, 8, 2))
    observed[:, 6:, 1] = np.nan
    behaviour = np.column_stack([np.arange(12) % 2, np.zeros(12), np.zeros(12), rng.normal(size=12), rng.normal(size=12)])
    expected = []
    for c in (0, 1):
        rows = [b for b in range(12) if b % 2 == c]
        speed = [np.mean([np.linalg.norm(rates[b, t + 1] - rates[b, t]) for t in range(5)]) for b in rows]
        expected.append(pearsonr(speed, behaviour[rows, -1]).statistic)
    assert speed_tp_correlation(observed, rates, behaviour) == pytest.approx(np.mean(expected), rel=1e-10)


def test_conditions_of_one_trial_one_duration_or_one_speed_are_left_out():
    rng = np.random.default_rng(4)
    rates, seen = rng.normal(size=(11, 8, 3)), np.zeros((11, 8, 3))
    condition, duration = np.array([0] * 5 + [1] + [2] * 3 + [3] * 2), np.array([3.0, 1, 4, 1, 5, 9, 2, 2, 2, 6, 5]) / 10
    rates[10] = rates[9]
    behaviour = np.column_stack([condition, np.zeros((11, 2)), duration])
    speed = np.linalg.norm(np.diff(rates[:5], axis=1), axis=2).mean(axis=1)
    assert speed_tp_correlation(seen, rates, behaviour) == pytest.approx(pearsonr(speed, duration[:5]).statistic)
    assert np.isnan(speed_tp_correlation(seen[5:], rates[5:], behaviour[5:]))


def test_published_values_are_met(shared):
    with h5py.File(shared / "parity/open/n_nlb_tools.h5") as file:
        v = {key: value[()] for key, value in file["velocity_decoding"].items()}
        s = {key: value[()] for key, value in file["speed_tp_correlation"].items()}
    arrays = [v[f"{split}_{what}"] for split in ("train", "eval") for what in ("rates", "behavior", "mask")]
    assert velocity_decoding(*arrays) == pytest.approx(v["value_grid_search"], rel=1e-9)
    assert velocity_decoding(*arrays, search=False) == pytest.approx(v["value_fixed_alpha"], rel=1e-9)
    assert speed_tp_correlation(s["spikes_heldout"], s["rates"], s["behavior"]) == pytest.approx(s["value"], rel=1e-9)


def test_hand_velocity_in_the_maze_is_decoded_from_smoothed_spikes_as_well_as_published(shared):
    """0.73 and 0.54: Gaussian of 50 ms, hand 100 ms later, hardly any penalty."""
    with h5py.File(shared / "data/spikes_mcmaze_large_subset.h5") as file:
        train, valid = ((file[f"{s}_recon_data"][()].astype(float), file[f"{s}_behavior"][()]) for s in ("train", "valid"))
    smooth, smooth_valid = (gaussian_filter1d(x, 10.0, axis=1) for x, _ in (train, valid))
    scores = decode(smooth, train[1], smooth_valid, valid[1], lag_bins=20, alphas=(1e-4,))
    np.testing.assert_allclose(scores, [0.73, 0.54], atol=0.005)
