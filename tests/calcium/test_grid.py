"""The fine grid: where each frame of each cell stands, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfads_core.errors import DataError
from lfads_plugins_calcium.grid import on_fine_grid, scan_bins


def test_a_frame_on_the_fine_grid_stands_where_its_cell_was_scanned():
    fine = on_fine_grid(np.arange(4.0).reshape(1, 2, 2), np.array([2, 0]), 3)
    expected = np.full((1, 6, 2), np.nan)
    expected[0, [2, 5], 0] = [0, 2]
    expected[0, [0, 3], 1] = [1, 3]
    np.testing.assert_array_equal(fine, expected)


def test_scan_times_become_bins():
    times = np.array([0.0, 10.9, 11.1, 32.99, np.nextafter(33.0, 0)])
    np.testing.assert_array_equal(scan_bins(times, 33.0, 3), [0, 0, 1, 2, 2])


@pytest.mark.parametrize("wrong", [-1.0, 33.0, np.nan])
def test_a_time_outside_the_frame_is_refused(wrong):
    with pytest.raises(DataError, match=r"^scan times: must be >= 0 and below the frame time 33 ms, got .* to .*\. Give milliseconds after"):
        scan_bins(np.array([1.0, wrong]), 33.0, 3)


@pytest.mark.parametrize("scan", [[0], [0, 3], [-1, 0]])
def test_bins_that_do_not_fit_are_refused(scan):
    text = f"fine grid: needs a bin from 0 to 2 for each of 2 cells, got {scan}."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        on_fine_grid(np.zeros((1, 2, 2)), np.array(scan), 3)
