"""Signals with a rate of their own, brought to bins."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import MakeOptions, Raw, Series, Trials, WindowOptions, make
from lfads_plugins_lab.recordings.raw import check_series
from lfads_plugins_lab.recordings.resample import resample


@given(steps=st.lists(st.integers(1, 30), min_size=1, max_size=50), bins=st.integers(1, 10), width=st.integers(2, 25), start=st.integers(-20, 200))
def test_a_bin_is_the_area_under_the_signal_where_no_gap_is_too_long_and_else_the_mean_of_its_samples(steps, bins, width, start):
    """In whole milliseconds; a bin that holds samples may reach one usual step beyond the first or last of them."""
    at, values, gap = np.cumsum(steps), np.sin(np.arange(len(steps)) * 1.7), 20
    got = resample(Series(times=at / 1000, values=values[:, None]), np.array([start / 1000]), bins, width / 1000, gap / 1000)[0, :, 0]
    usual = min(np.median(np.diff(at)), gap) if len(at) > 1 else 0
    for t in range(bins):
        low, high = start + t * width, start + (t + 1) * width
        inside = np.flatnonzero((low <= at) & (at < high))
        near = inside[0] if inside.size else np.flatnonzero(at <= (low + high) / 2)[-1:]
        if not np.size(near):
            assert np.isnan(got[t])
            continue
        first = last = int(np.ravel(near)[0])
        while first > 0 and at[first] - at[first - 1] <= gap:
            first -= 1
        while last + 1 < len(at) and at[last + 1] - at[last] <= gap:
            last += 1
        reach = usual if inside.size else 0
        if last > first and low >= at[first] - reach and high <= at[last] + reach:
            corners = np.unique([low, high, *at[first : last + 1]])
            on = np.interp(corners, at[first : last + 1], values[first : last + 1])
            before, after = corners < at[first], corners > at[last]
            on[before] = values[first] + (corners[before] - at[first]) * (values[first + 1] - values[first]) / (at[first + 1] - at[first])
            on[after] = values[last] + (corners[after] - at[last]) * (values[last] - values[last - 1]) / (at[last] - at[last - 1])
            here = (corners >= low) & (corners <= high)
            assert got[t] == pytest.approx(trapezoid(on[here], corners[here]) / width, abs=1e-9)
        elif inside.size:
            assert got[t] == pytest.approx(values[inside].mean(), abs=1e-9)
        else:
            assert np.isnan(got[t])


def test_samples_that_are_not_known_have_no_part_in_a_mean():
    series = Series(times=np.array([0.001, 0.004, 0.011, 0.014]), values=np.array([[1.0], [np.nan], [np.nan], [np.nan]]))
    got = resample(series, np.array([0.0]), 2, 0.01, 0.1)
    assert got[0, 0, 0] == 1.0
    assert np.isnan(got[0, 1, 0])


def test_a_large_offset_costs_no_digits():
    times = np.arange(100_000) / 1000
    series = Series(times=times, values=np.full((times.size, 1), 1e9 + 0.125))
    np.testing.assert_array_equal(resample(series, np.array([90.0]), 100, 0.01, 0.1), 1e9 + 0.125)


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([], "mine: 'hand' must have samples, got none. Fill it, or leave it out."),
        ([0.0, np.inf], "mine: times of 'hand' must be finite, got NaN or infinite for 1 of 2. Leave these samples out."),
        (
            [0.0, 0.2, 0.1],
            "mine: times of 'hand' must rise from sample to sample, got 0.2 and then 0.1 (samples 1 and 2). Sort them and keep one of each.",
        ),
        (
            [0.0, 0.1, 0.1],
            "mine: times of 'hand' must rise from sample to sample, got 0.1 and then 0.1 (samples 1 and 2). Sort them and keep one of each.",
        ),
    ],
)
def test_times_that_cannot_be_are_refused(times, text):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        check_series("mine", "hand", Series(times=np.array(times), values=np.zeros((len(times), 1))))


def test_two_sampling_rates_in_one_series_are_told():
    times = np.concatenate([np.arange(100) * 0.001, 0.1 + np.arange(60) * 0.010])
    text = "'hand' is sampled unevenly, 1 to 10 ms apart: two sampling rates in one series? Each bin takes the mean of its samples; check the times."
    assert check_series("mine", "hand", Series(times=times, values=np.zeros((160, 1)))) == text
    paused = np.concatenate([np.arange(100) * 0.001, 5 + np.arange(100) * 0.001])  # one gap is no second rate
    assert check_series("mine", "hand", Series(times=paused, values=np.zeros((200, 1)))) is None


def _raw(series):
    start = np.arange(10) * 1.0
    return Raw(where="mine", units={"a": np.arange(0.005, 10, 0.02)}, trials=Trials(start=start, stop=start + 0.5), series=series)


def test_where_a_series_is_not_known_is_told_and_left_nan():
    times = np.arange(0, 8.2, 0.01)
    made = make(_raw({"hand": Series(times=times, values=times[:, None])}))
    text = "'hand' is not known in 80 of 500 bins: NaN there, and left out of decoding."  # trial 8 from 0.2 s on, and trial 9
    assert [(p.severity, p.text) for p in made.problems if "hand" in p.text] == [("info", text)]
    known = {
        int(i): int((~np.isnan(x)).sum()) for s in ("train", "valid") for i, x in zip(made.arrays[f"{s}_inds"], made.arrays[f"{s}_hand"], strict=True)
    }
    assert known == {**dict.fromkeys(range(8), 50), 8: 20, 9: 0}


def test_a_series_on_another_clock_is_refused():
    times = 1000 + np.arange(0, 8, 0.01)
    text = (
        "mine: 'hand' must be known in some bin, got none: its samples run from 1000 to 1007.99 s, the windows from 0 to 9.5 s. "
        "Are their clocks and units the same?"
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(_raw({"hand": Series(times=times, values=times[:, None])}), MakeOptions(series=("hand",)))


def test_series_at_different_rates_stand_side_by_side_as_behaviour():
    slow, fast = np.arange(0, 10, 0.05), np.arange(0, 10, 0.001)
    raw = _raw({"slow": Series(times=slow, values=2 * slow[:, None]), "fast": Series(times=fast, values=np.stack([fast, -fast], axis=1))})
    made = make(raw, MakeOptions(behaviour=("fast", "slow"), window=WindowOptions(after_ms=400)))
    got = made.arrays["train_behavior"]
    assert got.shape[2] == 3
    inner = got[:, 10:30]  # a slow sample in a bin is taken as it is, so the line is met to half a bin
    np.testing.assert_allclose(inner[..., 2], 2 * inner[..., 0], atol=2 * 0.0101)
    np.testing.assert_allclose(got[..., 0], -got[..., 1])


def test_a_series_that_is_not_there_is_refused_with_those_that_are():
    times = np.arange(0, 10, 0.01)
    raw = _raw({"hand_vel": Series(times=times, values=times[:, None])})
    text = "mine: a series must be in the recording, got 'hand_vell'. Did you mean 'hand_vel'? There is 'hand_vel'."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw, MakeOptions(behaviour=("hand_vell",)))


def test_only_the_series_asked_for_come_along():
    times = np.arange(0, 10, 0.01)
    series = {name: Series(times=times, values=times[:, None]) for name in ("one", "two", "three")}
    made = make(_raw(series), MakeOptions(series=("two",)))
    assert {key for key in made.arrays if key in {"train_one", "train_two", "train_three"}} == {"train_two"}


def test_external_inputs_must_be_known_in_every_bin():
    times = np.arange(0, 10, 0.01)
    light = Series(times=times, values=np.sin(times)[:, None])
    made = make(_raw({"light": light, "sound": light}), MakeOptions(external=("light", "sound")))
    assert made.arrays["train_ext_input"].shape == (8, 50, 2)
    assert made.attributes["ext_input_names"] == "light, sound"
    short = Series(times=times[:900], values=light.values[:900])
    text = "mine: the external input 'light' must be known in every bin, got NaN in 50 of 500. Fill its gaps, or allow longer ones (--max-gap)."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(_raw({"light": short}), MakeOptions(external=("light",)))
