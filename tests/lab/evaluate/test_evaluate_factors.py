"""Factor analysis against scikit-learn's, and the number of its factors against what is left out of each fit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.decomposition import FactorAnalysis as Sklearn
from sklearn.exceptions import ConvergenceWarning

from lfads_plugins_lab.evaluate import factor_analysis
from lfads_plugins_lab.evaluate.factor_analysis import FACTORS, fit_factors, missing


def correlated(seed, trials, bins, factors, channels, noise):
    """Channels on scales far apart that share a few factors."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(factors, channels))
    data = rng.normal(size=(trials, bins, factors)) @ loadings + noise * rng.normal(size=(trials, bins, channels))
    return data * np.geomspace(0.2, 30, channels) + np.arange(channels)


def by_scikit_learn(rows, factors):
    """Mean and covariance of the model in the data's unit, fitted to standardised channels by another solver."""
    scale = rows.std(axis=0)
    scale[scale == 0] = 1
    model = Sklearn(n_components=factors, max_iter=200, tol=1e-2, svd_method="lapack").fit(rows / scale)
    return rows.mean(axis=0), model.get_covariance() * np.outer(scale, scale)


def conditional(mean, covariance, x, seen):
    """What a joint normal says of all channels but for their own noise, given the first ones: of the others only."""
    return mean[seen:] + (x - mean[:seen]) @ np.linalg.solve(covariance[:seen, :seen], covariance[:seen, seen:])


def assert_alike(model, covariance):
    """The same covariance, as shares of the channels' standard deviations; two solvers stop a little apart."""
    spread = np.sqrt(np.diag(covariance))
    found = model.loadings @ model.loadings.T + np.diag(model.noise)
    np.testing.assert_allclose(found / np.outer(spread, spread), covariance / np.outer(spread, spread), atol=5e-3)


@pytest.mark.parametrize(("held", "factors"), [(2, 3), (2, 6), (3, 11)])
def test_the_number_of_factors_is_the_one_that_predicts_held_out_channels_of_left_out_trials_best(held, factors):
    data = correlated(1, 23, 6, factors, 13 + held, 0.8)
    out = np.array([4, 9, 14, 19])
    rest = np.setdiff1d(np.arange(23), out)
    errors = {}
    for tried in (f for f in FACTORS if f < 13):
        mean, covariance = by_scikit_learn(data[rest].reshape(-1, 13 + held), tried)
        errors[tried] = ((conditional(mean, covariance, data[out, :, :13], 13) - data[out, :, 13:]) ** 2).sum()
    best = min(errors, key=errors.get)
    model = fit_factors(data, 13)
    assert (model.factors, model.loadings.shape, model.seen) == (best, (13 + held, best), 13)
    own = model.loadings @ model.loadings.T + np.diag(model.noise)
    np.testing.assert_allclose(model.predict(data[..., :13])[..., 13:], conditional(model.mean, own, data[..., :13], 13), rtol=1e-6)
    mean, covariance = by_scikit_learn(data.reshape(-1, 13 + held), best)
    np.testing.assert_allclose(model.mean, mean)
    assert_alike(model, covariance)


def test_without_held_out_channels_the_number_is_the_one_that_predicts_all_of_them_best():
    data = correlated(2, 20, 6, 5, 14, 0.8)
    left_out = np.arange(20) % 5 == 4
    errors = {}
    for tried in (2, 4, 8, 12):
        scale = data[~left_out].reshape(-1, 14).std(axis=0)
        model = Sklearn(n_components=tried, max_iter=200, tol=1e-2, svd_method="lapack").fit((data[~left_out] / scale).reshape(-1, 14))
        x = data[left_out].reshape(-1, 14) / scale
        errors[tried] = (((model.transform(x) @ model.components_ + model.mean_ - x) * scale) ** 2).sum()
    assert fit_factors(data, 14).factors == min(errors, key=errors.get)
    assert min(errors, key=errors.get) not in (2, 8)  # neither the least nor what held-out channels would say elsewhere


def test_the_fewest_factors_are_taken_where_no_trial_can_be_left_out_and_one_where_few_channels_are_seen():
    assert fit_factors(correlated(3, 4, 30, 4, 6, 0.5), 5).factors == 2
    assert fit_factors(correlated(3, 5, 30, 4, 6, 0.5), 5).factors == 4  # the fifth trial is left out
    assert fit_factors(correlated(3, 10, 30, 4, 6, 0.5), 2).factors == 1
    assert fit_factors(correlated(3, 10, 30, 4, 6, 0.5), 3).factors == 2


def test_fits_that_are_compared_leave_every_fifth_trial_out_and_have_fewer_factors_than_bins(monkeypatch):
    data, fit, fitted = correlated(3, 12, 1, 4, 15, 0.5), factor_analysis._fit, []
    monkeypatch.setattr(factor_analysis, "_fit", lambda *given: fitted.append(given) or fit(*given))
    fit_factors(data, 14)
    assert [given[2] for given in fitted[:-1]] == [2, 4, 8]
    for given in fitted[:-1]:
        np.testing.assert_array_equal(given[0], data[[0, 1, 2, 3, 5, 6, 7, 8, 10, 11]])
    np.testing.assert_array_equal(fitted[-1][0], data)


def test_the_unit_of_the_data_is_nothing():
    data = correlated(9, 10, 12, 3, 6, 0.5)
    expected, found = fit_factors(data, 5).predict(data[..., :5]), fit_factors(data * 1e-5, 5).predict(data[..., :5] * 1e-5)
    np.testing.assert_allclose(found * 1e5, expected, rtol=1e-4)


def test_a_channel_that_never_changes_is_predicted_as_it_is_and_has_the_least_noise():
    data = correlated(4, 10, 12, 2, 5, 0.5)
    data[..., 2] = 40.0
    model = fit_factors(data, 4)
    assert model.noise[2] == pytest.approx(1e-6)
    np.testing.assert_allclose(model.loadings[2], 0, atol=1e-12)
    np.testing.assert_allclose(model.predict(data[..., :4])[..., 2], 40.0)


def test_channels_without_noise_of_their_own_get_a_share_of_their_variance():
    data = correlated(5, 10, 20, 2, 6, 0.0)
    model = fit_factors(data, 6)
    np.testing.assert_allclose(model.noise, np.maximum(model.noise, 1e-6 * data.reshape(-1, 6).var(axis=0)), rtol=1e-9)
    assert np.isfinite(model.predict(data)).all()


def test_of_many_bins_some_are_taken_evenly_spaced(monkeypatch):
    monkeypatch.setattr(factor_analysis, "MOST_ROWS", 30)
    data = correlated(6, 4, 25, 2, 5, 0.5)  # no trial is left out
    mean, covariance = by_scikit_learn(data.reshape(-1, 5)[::3], 2)
    model = fit_factors(data, 3)
    np.testing.assert_allclose(model.mean, mean)
    assert_alike(model, covariance)
    few = correlated(6, 4, 5, 2, 5, 0.5)
    np.testing.assert_allclose(fit_factors(few, 3).mean, few.reshape(-1, 5).mean(axis=0))  # all of fewer


def test_the_same_data_give_the_same_factors_again():
    data = correlated(7, 10, 40, 9, 40, 1.0)
    np.testing.assert_array_equal(fit_factors(data, 30).loadings, fit_factors(data, 30).loadings)


def test_a_fit_that_does_not_converge_is_taken_after_200_steps_without_that_warning(monkeypatch):
    rng = np.random.default_rng(8)
    data = rng.normal(size=(4, 1000, 6)) @ rng.normal(size=(6, 6))
    data[..., 1] = data[..., 0] + 1e-4 * rng.normal(size=(4, 1000))
    rows = data.reshape(-1, 6)
    with pytest.warns(ConvergenceWarning):
        Sklearn(n_components=2, max_iter=200, tol=1e-2, random_state=0).fit(rows / rows.std(axis=0))
    steps = []

    class Told(Sklearn):
        def fit(self, x, y=None):
            found = super().fit(x, y)
            steps.append(self.n_iter_)
            warnings.warn("something else", UserWarning, stacklevel=1)
            return found

    monkeypatch.setattr("sklearn.decomposition.FactorAnalysis", Told)
    with pytest.warns(UserWarning, match=r"^something else$") as caught:
        assert fit_factors(data, 6).factors == 2
    assert len(caught) == 1
    assert steps == [200]


def test_nothing_is_missing_but_scikit_learn_where_it_is_not(monkeypatch):
    assert missing() == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else object())
    assert missing() == 'scikit-learn is not installed: pip install "lfads-core[evaluate]"'
