"""Clocks: the same session counted from anywhere, in any unit and type, has the same counts; what cannot be told apart is refused or said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import MakeOptions, Raw, Series, SplitOptions, Trials, WindowOptions, make, make_file

B, N, LENGTH_MS = 30, 4, 1000
START = np.arange(B) * 1500 + 1000
SPIKES = [np.sort(np.random.default_rng(n).choice(B * 1500 + 1000, 1500, replace=False)) for n in range(N)]
LAST = SplitOptions(by="last", valid=0.2)


def counts(bin_ms):
    """Whole milliseconds, so that integers decide."""
    found = np.zeros((B, LENGTH_MS // bin_ms, N), int)
    for n, spikes in enumerate(SPIKES):
        for b, start in enumerate(START):
            inside = spikes[(spikes >= start) & (spikes < start + LENGTH_MS // bin_ms * bin_ms)] - start
            np.add.at(found[b, :, n], inside // bin_ms, 1)
    return found


def made(origin_ms, unit_ms, dtype, bin_ms, path):
    """A session whose clock began ``origin_ms`` earlier."""
    times, units = np.concatenate(SPIKES) + origin_ms, np.repeat(np.arange(N), 1500)

    def clock(values):
        values = np.asarray(values, dtype=np.int64) + 0
        return (values * round(1 / unit_ms)).astype(dtype) if unit_ms < 1 else (values / unit_ms).astype(dtype)

    hand = np.arange(0, B * 1500 + 1500, 10)
    np.savez(
        path,
        times=clock(times),
        units=units,
        start=clock(START + origin_ms),
        stop=clock(START + origin_ms + LENGTH_MS),
        go=clock(START + origin_ms + 250),
        hand=hand / 1000,
        hand_times=clock(hand + origin_ms),
    )
    name = {1000: "s", 1: "ms", 1e-3: "us", 1e-6: "ns"}[unit_ms]
    options = MakeOptions(bin_ms=bin_ms, clock=name, behaviour=("hand",), split=LAST)
    return make_file(path, path.with_suffix(".h5"), options=options)


@pytest.mark.parametrize("bin_ms", [7, 10, 20])
@pytest.mark.parametrize(
    ("origin_ms", "unit_ms", "dtype"),
    [
        (0, 1, np.int64),
        (1_700_000_000_000, 1, np.int64),
        (1_700_000_000_000, 1, np.float64),
        (1_700_000_000_000, 1000, np.float64),
        (1_700_000_000_000, 1e-3, np.int64),
        (1_700_000_000_000, 1e-6, np.int64),
        (1_700_000_000_000, 1e-6, np.uint64),
        (0, 1000, np.float64),
    ],
)
def test_a_session_has_the_same_counts_whatever_its_clock(tmp_path, origin_ms, unit_ms, dtype, bin_ms):
    found = made(origin_ms, unit_ms, dtype, bin_ms, tmp_path / "a.npz")
    both = np.concatenate([found.arrays["train_encod_data"], found.arrays["valid_encod_data"]])
    np.testing.assert_array_equal(both, counts(bin_ms))
    start = np.concatenate([found.arrays[f"{split}_start_s"] for split in ("train", "valid")])
    np.testing.assert_allclose(start, (START + origin_ms) / 1000, rtol=1e-15, atol=1e-6)
    hand = np.concatenate([found.arrays[f"{split}_behavior"][..., 0] for split in ("train", "valid")])
    np.testing.assert_allclose(hand, START[:, None] / 1000 + (np.arange(both.shape[1]) + 0.5) * bin_ms / 1000, atol=1e-5)
    assert found.arrays["train_go_ms"].tolist() == pytest.approx([250] * len(found.arrays["train_go_ms"]), abs=1e-3)
    assert not [problem.text for problem in found.problems if problem.severity == "warning"]


def raw(times, start, stop, **more):
    return Raw(where="here", units={str(n): t for n, t in enumerate(times)}, trials=Trials(start=start, stop=stop), **more)


def test_a_clock_that_has_been_in_single_precision_is_said_to_be_too_coarse():
    """At 3000 s single precision tells 0.24 ms apart, which is 2 % of 10 ms."""
    rng = np.random.default_rng(0)
    start = 3000 + np.arange(20.0)
    times = [np.sort(rng.uniform(3000, 3021, 200)).astype(np.float32).astype(np.float64) for _ in range(3)]
    said = [p.text for p in make(raw(times, start, start + 0.9)).problems]
    assert said[0].startswith("times are only known to 0.24 ms, 2% of a bin: they are stored with too few digits.")
    exact = [np.sort(rng.uniform(3000, 3021, 200)) for _ in range(3)]
    assert not any("digits" in p.text for p in make(raw(exact, start, start + 0.9)).problems)


def test_bins_that_hold_ticks_in_turn_are_said():
    times = [np.sort(np.random.default_rng(n).choice(21000, 300, replace=False)) / 1000 for n in range(3)]
    start = np.arange(20.0)
    (said, *_) = [p.text for p in make(raw(times, start, start + 0.9), MakeOptions(bin_ms=2.5)).problems]
    assert said.startswith("times are whole multiples of 1 ms, so bins of 2.5 ms hold 2 or 3 of them in turn")
    assert not any("in turn" in p.text for p in make(raw(times, start, start + 0.9), MakeOptions(bin_ms=2.0)).problems)


def test_events_in_milliseconds_beside_trials_in_seconds_are_refused_in_every_format(tmp_path):
    start = np.arange(40) * 2.0 + 1
    times = [np.sort(np.random.default_rng(n).uniform(0, 81, 1200)) * 1000 for n in range(5)]
    text = "events and trials must be in one unit of time, got events up to"
    with pytest.raises(DataError, match=re.escape(text)):
        make(raw(times, start, start + 1.5))
    fast = [np.sort(np.random.default_rng(n).uniform(0, 81, 12000)) * 1000 for n in range(5)]  # rates that would do in seconds
    with pytest.raises(DataError, match=re.escape(text)):
        make(raw(fast, start, start + 1.5))


def write_nwb(path, *, spikes=1.0, times=1.0, stop=lambda _, s: s + 1.5):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
    from datetime import UTC, datetime

    rng = np.random.default_rng(0)
    nwb = pynwb.NWBFile(session_description="x", identifier="x", session_start_time=datetime(2024, 1, 1, tzinfo=UTC))
    for _ in range(3):
        nwb.add_unit(spike_times=np.sort(rng.uniform(0, 41, 600)) * spikes)
    nwb.add_trial_column("go", "go cue")
    for i, s in enumerate(np.arange(20) * 2.0 + 1):
        nwb.add_trial(start_time=s * times, stop_time=stop(i, s) * times, go=(s + 0.3) * times)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def test_nwb_in_milliseconds_is_refused_with_advice_that_works(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", spikes=1000, times=1000)
    with pytest.raises(DataError) as caught:
        make_file(path, tmp_path / "a.h5")
    assert "Say --time-unit ms" in str(caught.value)
    ms = make_file(path, tmp_path / "a.h5", options=MakeOptions(clock="ms"))
    s = make_file(write_nwb(tmp_path / "b.nwb"), tmp_path / "b.h5")
    np.testing.assert_array_equal(ms.arrays["train_encod_data"], s.arrays["train_encod_data"])
    with pytest.raises(DataError, match=re.escape("events and trials must be in one unit of time")):
        make_file(write_nwb(tmp_path / "c.nwb", spikes=1000), tmp_path / "c.h5")


@pytest.mark.parametrize("window", [WindowOptions(), WindowOptions(event="go", before_ms=100, after_ms=400)])
def test_trials_without_a_stop_are_kept_where_it_decides_nothing(tmp_path, window):
    path = write_nwb(tmp_path / "a.nwb", stop=lambda i, s: np.nan if i % 2 else s + 1.5)
    found = make_file(path, tmp_path / "a.h5", options=MakeOptions(window=window, split=LAST))
    whole = make_file(write_nwb(tmp_path / "b.nwb"), tmp_path / "b.h5", options=MakeOptions(window=window, split=LAST))
    for split in ("train", "valid"):
        np.testing.assert_array_equal(found.arrays[f"{split}_encod_data"], whole.arrays[f"{split}_encod_data"])
        np.testing.assert_allclose(found.arrays[f"{split}_go_ms"], whole.arrays[f"{split}_go_ms"])
    said = [p.text for p in found.problems]
    assert (window.after_ms is None) == ("10 of 20 trials have no stop: they are taken to last as long as that, too." in said)


def test_series_move_with_the_clock_and_events_with_their_trials():
    origin = 1.7e9
    start = origin + np.arange(20.0)
    times = [np.sort(np.random.default_rng(n).uniform(0, 21, 300)) + origin for n in range(3)]
    at = np.arange(0, 22, 0.01)
    trials = Trials(start=start, stop=start + 0.9, columns={"go": start + 0.2, "after": np.full(20, 0.2)})
    recorded = Raw(
        where="here",
        units={str(k): unit for k, unit in enumerate(times)},
        trials=trials,
        series={"hand": Series(times=at + origin, values=at[:, None])},
    )
    for window in (WindowOptions(event="go", after_ms=500), WindowOptions(event="after", from_start=True, after_ms=500)):
        found = make(recorded, MakeOptions(window=window, behaviour=("hand",), split=LAST))
        got = found.arrays["train_behavior"][..., 0]
        np.testing.assert_allclose(got, np.arange(16)[:, None] + 0.2 + (np.arange(50) + 0.5) * 0.01, atol=1e-5)
