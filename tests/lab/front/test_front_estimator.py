"""LFADS after scikit-learn's rules."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import yaml
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import lfads_core as lf
from lfads_plugins_lab.front.estimator import LFADSEstimator
from tiny_runs import TINY

SETTINGS = {key: yaml.safe_load(value) for key, value in (text.split("=") for text in TINY if not text.startswith("track"))} | {"train.epochs": 2}
X = np.random.default_rng(0).poisson(1.0, (24, 8, 5))


@pytest.fixture(scope="module")
def fitted():
    return lf.LFADS(settings=SETTINGS, hold_out=0.4, output="rates").fit(X)


def test_parameters_are_what_was_given_and_a_clone_has_them(fitted):
    model = lf.LFADS("spikes", SETTINGS, epochs=2, minutes=3, flatten=True)
    assert model.get_params() == {
        "bin_ms": None, "epochs": 2, "flatten": True, "hold_out": None, "minutes": 3, "output": "factors", "plugin": "spikes", "plugins": (),
        "seed": 0, "settings": SETTINGS, "valid": 0.2,
    }  # fmt: skip
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(output="inputs").output == "inputs"
    with pytest.raises(NotFittedError):
        clone(fitted).transform(X)


@pytest.mark.long
def test_rates_are_those_of_a_run_on_the_same_trials_and_channels_in_their_order(fitted, tmp_path):
    recording = lf.Recording.from_arrays(X, valid=0.2, seed=0)
    run = lf.run(recording, settings=SETTINGS, hold_out=0.4, name="same", runs=tmp_path, progress=False)
    assert fitted.transform(X).shape == X.shape
    for name, values in run.parameters().items():
        np.testing.assert_array_equal(values, fitted.run_.parameters()[name])
    one_split = lf.Recording.of(
        "recording", {"train_encod_data": X, "valid_encod_data": X[:1]}, {}
    )  # samples are drawn by a trial's row in its split
    np.testing.assert_allclose(fitted.transform(X), run.infer(one_split)["rates"].values[:24], rtol=1e-5)


def test_what_comes_out_has_the_shapes_that_are_said(fitted):
    shapes = {"factors": (24, 8, 3), "rates": (24, 8, 5), "inputs": (24, 8, 2), "initial_conditions": (24, 4)}
    for output, shape in shapes.items():
        fitted.output = output
        fitted.flatten = False
        assert fitted.transform(X).shape == shape
        fitted.flatten = True
        assert fitted.transform(X).shape == (24, int(np.prod(shape[1:])))
    fitted.output, fitted.flatten = "rates", False


def test_a_pickled_estimator_gives_the_same(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert again.score(X) == fitted.score(X)


def test_the_score_is_the_mean_log_likelihood_of_held_out_channels(fitted):
    """Poisson with Stirling's approximation of the factorial, at posterior means; channels held out by the rule of benchmarks."""
    from lfads_core.data.hold_out import pick_channels
    from lfads_core.infer.run import infer_sessions

    session = fitted._session(X)
    rates = infer_sessions(fitted.run_, [session], samples=None, seed=0)[session.name]["test"].output_params
    held_in, held_out = pick_channels(5, 0.4, fitted.run_.config.data.hold_out.seed)
    k, rate = X[..., held_out].astype(float), rates[..., len(held_in) :].astype(float)
    factorial = np.where(k > 1, k * np.log(np.maximum(k, 1)) - k + 0.5 * np.log(2 * np.pi * np.maximum(k, 1)), 0.0)
    assert fitted.score(X) == pytest.approx((k * np.log(rate) - rate - factorial).mean(), rel=1e-4)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.ones((3, 4)), "X must be numbers (trials, bins, channels), got shape (3, 4) of type float64. Reshape your data."),
        (np.ones((3, 8, 4)), "X has 4 features, but LFADSEstimator is expecting 5 features as input."),
        (np.full((3, 8, 5), np.inf), "X must be finite, got 120 inf of 120 values. Store NaN for not observed."),
        (np.full((3, 8, 5), -1.0), "'test_recon_data' must hold counts (0, 1, 2...), got 120 negative of 120 values."),
        (np.ones((0, 8, 5)), "Found array with 0 sample(s) (shape=(0, 8, 5)) while a minimum of 1 is required."),
        (np.ones((3, 7, 5)), "'test' must have encoded (bins, channels), reconstructed (bins, channels) and external inputs ((8, 3), (8, 5), 0)"),
    ],
)
def test_trials_that_do_not_fit_are_a_value_error_in_one_sentence(fitted, given, text):
    with pytest.raises(ValueError, match=re.escape(text)) as raised:
        fitted.transform(given)
    assert isinstance(raised.value, lf.DataError)


def test_an_output_that_is_none_is_refused():
    with pytest.raises(lf.ConfigError, match=r"^output: must be one of factors, rates, inputs, initial_conditions, got 'rate'\.$"):
        lf.LFADS(output="rate").fit(X)


def test_its_parameters_are_reached_through_a_pipeline():
    assert make_pipeline(lf.LFADS(flatten=True), Ridge()).get_params()["lfadsestimator__flatten"]


# scikit-learn's own checks


def test_scikit_learn_knows_that_its_data_have_three_axes():
    with pytest.warns(match="Can't test estimator LFADSEstimator which requires input"):
        check_estimator(lf.LFADS())


class Flat(LFADSEstimator):
    """Rows of two axes as trials of four bins that are all alike, so that scikit-learn's checks, which know two axes only, can be made."""

    def _three(self, given):
        if hasattr(given, "toarray"):
            raise TypeError("X must be a dense array, got a sparse one. Use X.toarray().")
        values = np.asarray(given)
        if values.ndim != 2:
            raise ValueError(f"Expected 2D array, got {values.ndim}D. Reshape your data.")
        return np.repeat(values[:, None], 4, axis=1)

    def fit(self, X, y=None):
        self._three(X)
        return super().fit(self._three(X))

    def transform(self, X):
        return super().transform(self._three(X))

    def score(self, X, y=None):
        return super().score(self._three(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False
        return tags


ONE_EPOCH = {"train.epochs": 1, "model.encoder.hidden": 4, "model.generator.hidden": 4, "model.generator.ic_size": 2, "model.generator.factors": 2,
             "model.controller": None, "infer.samples": 1, "train.device": "cpu"}  # fmt: skip

LEFT_OUT = {
    "check_fit2d_1sample": "one trial cannot be split into training and validation, and the message says so in words of its own",
    "check_methods_sample_order_invariance": "samples of the posterior are drawn by a trial's place, so another order draws others",
    "check_methods_subset_invariance": "samples of the posterior are drawn by a trial's place, so a subset draws others",
    "check_estimators_empty_data_messages": "the message tells the shape of the three axes",
}
"""Checks of scikit-learn that do not hold, and why."""


@pytest.mark.slow
@pytest.mark.wrong_types
@pytest.mark.filterwarnings("ignore")  # of checks that are skipped
@parametrize_with_checks([Flat("gaussian", ONE_EPOCH, flatten=True, valid=0.3)], expected_failed_checks=lambda _: LEFT_OUT)
def test_scikit_learns_own_checks_hold_where_data_may_have_two_axes(estimator, check):
    check(estimator)
