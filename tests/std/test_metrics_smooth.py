"""Gaussian smoothing against a sum written out bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lfads_plugins_std.metrics.smooth import smooth


def _by_sums(data, width, itself):
    """Each bin's weighted mean over the bins that were observed at most four standard deviations away."""
    result = np.full(data.shape, np.nan)
    trials, bins, channels = data.shape
    for b, t, n in np.ndindex(trials, bins, channels):
        weights = values = 0.0
        for u in range(bins):
            near = abs(t - u) <= math.ceil(4 * width)
            if near and not math.isnan(data[b, u, n]) and (itself or u != t):
                weight = math.exp(-((t - u) ** 2) / (2 * width**2))
                weights, values = weights + weight, values + weight * data[b, u, n]
        if weights:
            result[b, t, n] = values / weights
    return result


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("width", [0.6, 1.0, 2.3])
def test_each_bin_is_the_weighted_mean_of_what_was_observed_around_it(width, itself):
    data = np.random.default_rng(0).normal(size=(2, 31, 3))
    data[0, 2:25, 0] = np.nan
    data[1, :, 2] = np.nan
    data[1, 4, 2] = 5.0
    smoothed = smooth(data, width, itself=itself)
    np.testing.assert_allclose(smoothed, _by_sums(data, width, itself), rtol=1e-12)
    assert np.isnan(smoothed[0, 12, 0])


def test_without_a_width_nothing_changes_but_the_precision():
    data = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    smoothed = smooth(data, 0)
    np.testing.assert_array_equal(smoothed, data)
    assert smoothed.dtype == np.float64
