"""Windows out of a long recording, and the recording out of its windows."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.overlap import BLENDS, chop, merge

pytestmark = pytest.mark.property


@st.composite
def recordings(draw):
    bins = draw(st.integers(1, 60))
    window = draw(st.integers(1, bins))
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(bins, draw(st.integers(1, 3)))) * 10.0 ** draw(st.integers(-8, 8))
    holes = np.array(draw(st.lists(st.integers(0, bins - 1), max_size=5)), dtype=int)
    values[holes, 0] = np.nan
    if draw(st.booleans()):
        values[draw(st.integers(0, bins - 1)), 0] = np.inf
    return values, window, draw(st.integers(0, window - 1))


@given(recordings(), st.sampled_from(BLENDS), st.randoms(use_true_random=False))
def test_windows_that_nobody_touched_give_the_recording_exactly_whatever_they_share(recording, blend, random):
    values, window, overlap = recording
    windows, first = chop(values, window, overlap)
    order = list(range(len(first)))
    random.shuffle(order)
    np.testing.assert_array_equal(merge(windows[order], first[order], len(values), blend), values)


@given(recordings())
def test_every_window_but_the_last_begins_where_it_should_and_the_last_ends_with_the_recording(recording):
    values, window, overlap = recording
    _, first = chop(values, window, overlap)
    assert first[0] == 0
    assert first[-1] + window == len(values)
    assert (np.diff(first)[:-1] == window - overlap).all()
    assert (np.diff(first)[-1:] <= window - overlap).all()


@given(recordings(), st.sampled_from(["linear", "uniform"]), st.integers(0, 99))
def test_windows_that_disagree_give_their_weighted_mean_by_a_slow_sum(recording, blend, seed):
    values, window, overlap = recording
    windows, first = chop(values, window, overlap)
    windows = np.where(np.isinf(windows), 1.0, windows)
    windows = windows + np.random.default_rng(seed).normal(size=windows.shape)
    weight = np.ones(window) if blend == "uniform" else np.array([min(t, window - 1 - t) + 1.0 for t in range(window)])
    got = merge(windows, first, len(values), blend)
    for t in range(len(values)):
        for k in range(values.shape[1]):
            parts = [(weight[t - f], windows[w, t - f, k]) for w, f in enumerate(first) if 0 <= t - f < window and not np.isnan(windows[w, t - f, k])]
            expected = sum(w * x for w, x in parts) / sum(w for w, _ in parts) if parts else np.nan
            np.testing.assert_allclose(got[t, k], expected, rtol=1e-9, atol=1e-9 * np.nanmax(np.abs(windows)))


def test_the_centre_of_a_window_wins_over_the_end_of_another():
    windows = np.stack([np.zeros((6, 1)), np.ones((6, 1))])
    assert merge(windows, np.array([0, 4]), 10, "centre")[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert merge(windows, np.array([0, 3]), 9, "centre")[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    # distances to the nearest end in bins 3, 4, 5: 3, 2, 1 of the first, 1, 2, 3 of the second
    np.testing.assert_allclose(merge(windows, np.array([0, 3]), 9)[:, 0], [0, 0, 0, 1 / 4, 2 / 4, 3 / 4, 1, 1, 1])


def test_a_bin_that_nothing_covers_is_nan():
    assert np.isnan(merge(np.ones((1, 2, 1)), np.array([1]), 4)[:, 0]).tolist() == [True, False, False, True]


def test_what_does_not_fit_is_refused():
    text = "chop: must have 0 <= overlap < window <= bins, got an overlap of 3, a window of 3 and 9 bins. Change them."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        chop(np.ones((9, 1)), 3, 3)
    text = "merge: 1 windows of 3 bins must lie within 4 bins, got some that do not. Check their first bins."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        merge(np.ones((1, 3, 1)), np.array([2]), 4)
