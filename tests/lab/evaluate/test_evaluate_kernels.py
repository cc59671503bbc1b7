"""Widths of Gaussians that are tried, and data smoothed with them."""

from __future__ import annotations

import numpy as np
import pytest

from lfads_plugins_lab.evaluate.kernels import filled, neighbours, smoother, widths


@pytest.mark.parametrize(
    ("bin_ms", "bins", "expected"),
    [
        (None, 10, [1.0, 2.0, 3.0, 5.0]),  # half a trial is not too wide
        (None, 9, [1.0, 2.0, 3.0]),
        (20.0, 10, [0.5, 1.0, 1.5, 2.5, 3.75, 5.0]),  # half a bin is not too narrow
        (25.0, 12, [0.8, 1.2, 2.0, 3.0, 4.0, 6.0]),
        (None, 1, [0.5]),
        (1000.0, 8, [2.0]),  # no width makes sense: a quarter of a trial
    ],
)
def test_widths_are_those_between_half_a_bin_and_half_a_trial(bin_ms, bins, expected):
    assert widths(bin_ms, bins) == pytest.approx(expected)


def test_bins_with_nothing_near_them_get_the_mean_of_their_channel_or_0_if_it_has_none():
    values = np.array([[[1.0, np.nan, np.nan], [np.nan, 4.0, np.nan]]])
    np.testing.assert_array_equal(filled(values, np.array([7.0, 8.0, np.nan])), [[[1.0, 8.0, 0.0], [7.0, 4.0, 0.0]]])


def test_smoothing_takes_in_the_bin_itself_and_its_neighbours_do_not():
    data = np.random.default_rng(0).normal(size=(3, 7, 2))
    data[1, :, 0] = np.nan
    weights = np.exp(-0.5 * (np.subtract.outer(np.arange(7), np.arange(7)) / 1.25) ** 2)
    weights[abs(np.subtract.outer(np.arange(7), np.arange(7))) > 5] = 0
    expected = np.einsum("tu,bun->btn", weights / weights.sum(axis=1, keepdims=True), data)
    expected[1, :, 0] = 9
    np.testing.assert_allclose(smoother(1.25, np.array([9.0, 5.0]))(data), expected)
    np.fill_diagonal(weights, 0)
    without = np.einsum("tu,bun->btn", weights / weights.sum(axis=1, keepdims=True), data)
    np.testing.assert_allclose(neighbours(data, 1.25), without)
