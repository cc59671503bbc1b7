"""R2 against scikit-learn and the published fixtures."""

from __future__ import annotations

import math
import re

import h5py
import numpy as np
import pytest
from sklearn.metrics import r2_score as sklearn_r2

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.r2 import r2_observed, r2_per_channel, r2_score, r2_variance_weighted


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    target = rng.normal(size=(4, 7, 5)) * np.arange(1, 6)
    return target + rng.normal(size=target.shape), target


def test_every_kind_of_r2_agrees_with_scikit_learn(pair):
    guess, target = (x.reshape(-1, 5) for x in pair)
    np.testing.assert_allclose(r2_per_channel(*pair), sklearn_r2(target, guess, multioutput="raw_values"), rtol=1e-12)
    assert r2_score(*pair) == pytest.approx(sklearn_r2(target, guess), rel=1e-12)
    assert r2_variance_weighted(*pair) == pytest.approx(sklearn_r2(target, guess, multioutput="variance_weighted"), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_change_no_r2(pair, scale):
    guess, target = (x * scale for x in pair)
    np.testing.assert_allclose(r2_per_channel(guess, target), r2_per_channel(*pair))
    assert r2_variance_weighted(guess, target) == pytest.approx(r2_variance_weighted(*pair))
    assert r2_observed(guess, target) == pytest.approx(r2_observed(*pair))


def test_single_precision_is_scored_in_double(pair):
    """Of values about 10,000 single precision keeps three decimals, and their squares none."""
    guess, target = ((1e4 + x).astype(np.float32) for x in pair)
    exact = sklearn_r2(target.astype(float).reshape(-1, 5), guess.astype(float).reshape(-1, 5), multioutput="raw_values")
    np.testing.assert_allclose(r2_per_channel(guess, target), exact, rtol=1e-9)
    weighted = r2_variance_weighted(guess.astype(float), target.astype(float))
    assert r2_observed(guess, target.astype(float)) == pytest.approx(weighted, rel=1e-12)
    assert r2_observed(guess.astype(float), target) == pytest.approx(weighted, rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_a_channel_that_never_changes_is_left_out(pair, value):
    guess, target = pair
    before = r2_score(guess[..., 1:], target[..., 1:])
    target[..., 0] = value
    assert math.isnan(r2_per_channel(guess, target)[0])
    assert r2_score(guess, target) == before


def test_nothing_to_explain_gives_nan():
    flat = np.full((3, 4, 2), 0.1)
    assert math.isnan(r2_score(flat, flat))
    assert math.isnan(r2_variance_weighted(flat, flat))
    empty = np.zeros((0, 4, 3))
    np.testing.assert_array_equal(r2_per_channel(empty, empty), [np.nan] * 3)
    assert math.isnan(r2_score(empty, empty))
    assert math.isnan(r2_observed(empty, empty))


def test_another_shape_is_refused():
    with pytest.raises(DataError, match=re.escape("R2: predictions must have the shape of the target (2, 3), got (3, 2).")):
        r2_score(np.ones((3, 2)), np.ones((2, 3)))
    with pytest.raises(DataError, match=re.escape("R2: predictions must have the shape of the target (2, 3), got (3, 2).")):
        r2_observed(np.ones((3, 2)), np.ones((2, 3)))


def test_published_values_are_met(shared):
    with h5py.File(shared / "parity/open/n_metrics.h5") as file:
        group = {key: value[()] for key, value in file["r2"].items()}
    assert r2_score(group["preds"], group["targets"]) == pytest.approx(group["r2_score"], rel=1e-9)
    assert r2_score(group["preds"][0], group["targets"][0]) == pytest.approx(group["r2_score_2d"], rel=1e-9)
