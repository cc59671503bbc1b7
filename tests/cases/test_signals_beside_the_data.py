"""Signals beside the data: where a bin's value lies in time, angles that go round, and what nobody asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from lfads_plugins_lab.recordings import MakeOptions, Raw, Series, Trials, make
from lfads_plugins_lab.recordings.resample import resample


@pytest.mark.parametrize("width", [0.007, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("fs", [30, 60, 100, 120, 240, 1000])
def test_a_hand_at_one_metre_a_second_is_where_it_is_in_the_middle_of_every_bin(fs, width):
    times = np.arange(0, 20, 1 / fs)
    starts = np.array([0.0, 1.003, 7.5])
    found = resample(Series(times=times, values=times[:, None]), starts, 40, width, 0.1)[..., 0]
    middles = starts[:, None] + (np.arange(40) + 0.5) * width
    np.testing.assert_allclose(found, middles, atol=1e-9)
    np.testing.assert_allclose(np.diff(found, axis=1) / width, 1.0, rtol=1e-6)


def test_a_bin_is_the_integral_of_the_signal_drawn_from_sample_to_sample():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 2, 70))
    values = rng.normal(size=(70, 2))
    starts, width = np.array([0.3, 0.9]), 0.04
    found = resample(Series(times=times, values=values), starts, 8, width, 10.0)
    for b, start in enumerate(starts):
        for t in range(8):
            low, high = start + t * width, start + (t + 1) * width
            for k in range(2):
                inside = times[(times > low) & (times < high)]
                wanted, _ = quad(lambda x, k=k: np.interp(x, times, values[:, k]), low, high, points=inside if inside.size else None, limit=200)
                assert found[b, t, k] == pytest.approx(wanted / width, abs=1e-7)


def test_nothing_runs_across_a_long_gap_and_the_last_bin_before_it_is_whole():
    times = np.concatenate([np.arange(0, 1, 0.01), np.arange(2, 3, 0.01)])
    found = resample(Series(times=times, values=times[:, None]), np.array([0.0]), 300, 0.01, 0.1)[0, :, 0]
    assert np.isnan(found[100:200]).all()
    known = np.r_[:100, 200:300]
    np.testing.assert_allclose(found[known], (known + 0.5) * 0.01, atol=1e-9)


def test_few_samples_stay_where_they_are():
    """Slower than gaps may be long: a bin has its sample or nothing."""
    times = np.arange(0, 5, 1.0)
    found = resample(Series(times=times, values=times[:, None] * 2), np.array([0.0]), 50, 0.1, 0.2)[0, :, 0]
    assert np.flatnonzero(np.isfinite(found)).tolist() == [0, 10, 20, 30, 40]
    assert found[::10].tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(("period", "low"), [(2 * np.pi, 0.0), (360.0, -180.0)])
def test_an_angle_goes_round(period, low):
    """One turn in a second, sampled at 120 Hz: in the middle of a bin it is where the clock says."""
    times = np.arange(0, 10, 1 / 120)
    values = (times * period - low) % period + low
    found = resample(Series(times=times, values=values[:, None]), np.array([0.2, 3.7]), 60, 0.02, 0.1, period=period)[..., 0]
    middles = np.array([0.2, 3.7])[:, None] + (np.arange(60) + 0.5) * 0.02
    apart = (found - middles * period + period / 2) % period - period / 2
    assert np.abs(apart).max() < 1e-6 * period
    assert found.min() >= low
    assert found.max() < low + period


def recording(**series):
    rng = np.random.default_rng(0)
    starts = np.arange(20) * 1.0
    return Raw(
        where="here",
        units={str(n): np.sort(rng.uniform(0, 21, 300)) for n in range(3)},
        trials=Trials(start=starts, stop=starts + 0.5),
        series=series,
    )


def test_angles_are_noticed_and_averaged_as_angles_where_that_is_said():
    times = np.arange(0, 22, 1 / 120)
    turning = Series(times=times, values=(times * 2 * np.pi % (2 * np.pi))[:, None], unit="radians")
    made = make(recording(head=turning), MakeOptions(behaviour=("head",)))
    said = [problem.text for problem in made.problems if problem.severity == "warning"]
    assert any("'head' goes round every 6.28319" in text and "--circular head" in text for text in said)
    told = make(recording(head=turning), MakeOptions(behaviour=("head",), circular=("head",)))
    assert not [text for text in (problem.text for problem in told.problems) if "goes round" in text]
    for split in ("train", "valid"):
        middles = told.arrays[f"{split}_start_s"][:, None] + (np.arange(50) + 0.5) * 0.01
        apart = (told.arrays[f"{split}_behavior"][..., 0] - middles * 2 * np.pi + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(apart).max() < 1e-5


def test_a_series_that_nobody_asked_for_is_left_out_with_a_word():
    times = np.sort(np.random.default_rng(1).uniform(0, 20, 50))
    times[11] = times[10]
    licks = Series(times=times, values=np.ones((50, 1)))
    made = make(recording(lick=licks))
    assert any("left out: times of 'lick' must rise" in problem.text for problem in made.problems)
    assert "train_lick" not in made.arrays
