"""Events into windows of bins: counts, alignment, what is left out, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.errors import ConfigError, DataError
from lfads_plugins_lab.recordings import MakeOptions, Raw, Series, Signal, SplitOptions, Trials, WindowOptions, make
from lfads_plugins_lab.recordings.counts import bin_events, observed_bins, rebin

AROUND_GO = MakeOptions(window=WindowOptions(event="go", before_ms=200, after_ms=500))


def raw_of(recording, **changes):
    trials = Trials(start=recording.start, stop=recording.stop, columns={"go": recording.go, "side": recording.side.astype(object)})
    return Raw(**{"where": "mine", "units": recording.units, "trials": trials, **changes})


def told(made):
    return [(p.severity, p.text) for p in made.problems]


@given(
    times=st.lists(st.integers(0, 400), max_size=60),
    starts=st.lists(st.integers(-50, 450), min_size=1, max_size=6),
    bins=st.integers(1, 12),
    width=st.integers(1, 40),
)
def test_counts_in_overlapping_windows_are_those_of_a_slow_loop(times, starts, bins, width):
    """In whole milliseconds, where an event on an edge belongs to the bin that begins there."""
    expected = [[sum(s + t * width <= x < s + (t + 1) * width for x in times) for t in range(bins)] for s in starts]
    got = bin_events(np.sort(np.array(times, dtype=float)) / 1000, np.array(starts) / 1000, bins, width / 1000)
    np.testing.assert_array_equal(got, expected)


@given(
    intervals=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=6),
    starts=st.lists(st.integers(-10, 70), min_size=1, max_size=4),
    bins=st.integers(1, 6),
    width=st.integers(1, 9),
)
def test_a_bin_is_observed_when_every_moment_of_it_is_by_a_slow_loop(intervals, starts, bins, width):
    covered = {x for begin, length in intervals for x in range(begin, begin + length)}
    expected = [[all(x in covered for x in range(s + t * width, s + (t + 1) * width)) for t in range(bins)] for s in starts]
    seconds = np.array([(b / 1000, (b + n) / 1000) for b, n in intervals]).reshape(-1, 2)
    np.testing.assert_array_equal(observed_bins(seconds, np.array(starts) / 1000, bins, width / 1000), expected)


def test_trials_are_cut_around_their_event_and_found_again_by_their_number(recording):
    made = make(raw_of(recording), AROUND_GO)
    expected = recording.counts(0.2, 0.5, 0.010)
    for split, trials in (("train", 8), ("valid", 2)):
        rows = made.arrays[f"{split}_inds"]
        assert made.arrays[f"{split}_encod_data"].shape == (trials, 70, 3)
        np.testing.assert_array_equal(made.arrays[f"{split}_encod_data"], expected[rows])
        np.testing.assert_allclose(made.arrays[f"{split}_start_s"], recording.go[rows] - 0.2)
        np.testing.assert_array_equal(made.arrays[f"{split}_go"], recording.go[rows])
    assert sorted([*made.arrays["train_inds"], *made.arrays["valid_inds"]]) == list(range(10))
    assert made.arrays["train_encod_data"].dtype == np.uint8
    assert made.arrays["channel_names"].tolist() == ["3", "7", "12"]
    assert made.attributes == {"bin_ms": 10.0, "first_bin_ms": -200.0, "aligned_to": "go", "data_unit": "events/bin"}
    assert told(made) == []


def test_without_an_end_windows_are_as_long_as_the_shortest_trial(recording):
    stop = recording.stop.copy()
    stop[4] -= 0.256
    trials = Trials(start=recording.start, stop=stop, columns={"go": recording.go})
    made = make(raw_of(recording, trials=trials), MakeOptions(window=WindowOptions(event="go")))
    assert made.arrays["train_encod_data"].shape[1] == 69  # 1.25 - 0.3 - 0.256 = 0.694 s
    assert told(made) == [("info", "windows end 690 ms after the event, as the shortest trial does.")]


def test_milliseconds_and_microseconds_are_brought_to_seconds(recording):
    expected = make(raw_of(recording), AROUND_GO).arrays
    for clock, factor in (("ms", 1e3), ("us", 1e6)):
        trials = Trials(start=recording.start * factor, stop=recording.stop * factor, columns={"go": recording.go * factor})
        raw = raw_of(recording, units={k: v * factor for k, v in recording.units.items()}, trials=trials)
        made = make(raw, MakeOptions(window=AROUND_GO.window, clock=clock, split=SplitOptions(stratify=False)))
        both = {int(i): x for s in ("train", "valid") for i, x in zip(made.arrays[f"{s}_inds"], made.arrays[f"{s}_encod_data"], strict=True)}
        want = {int(i): x for s in ("train", "valid") for i, x in zip(expected[f"{s}_inds"], expected[f"{s}_encod_data"], strict=True)}
        for number, values in want.items():
            np.testing.assert_array_equal(both[number], values)


def test_milliseconds_that_are_taken_for_seconds_are_refused_until_one_insists(recording):
    in_ms = {name: times * 1000 for name, times in recording.units.items()}
    trials = Trials(start=recording.start * 1000, stop=recording.stop * 1000)
    text = (
        "mine: times should be in seconds, but then the usual trial lasts 1.25e+03 s. "
        "Say --time-unit ms, or --time-unit s if they are seconds all the same."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, units=in_ms, trials=trials))
    made = make(raw_of(recording, units=in_ms, trials=trials), MakeOptions(clock="s", bin_ms=10_000))
    assert told(made)[0] == ("warning", "times should be in seconds, but then the usual trial lasts 1.25e+03 s. They are taken as s, as you say.")
    text = (
        "mine: times should be in seconds, but then the usual channel has 0.0267 events/s. Say --time-unit ms, or --time-unit s if they are seconds"
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}"):
        make(raw_of(recording, units=in_ms, trials=None), MakeOptions(window=WindowOptions(chop_ms=1000)))


def test_events_that_are_not_in_order_are_sorted_and_told(recording):
    shuffled = recording.units["7"][np.random.default_rng(0).permutation(400)]
    back = int((np.diff(shuffled) < 0).sum())
    made = make(raw_of(recording, units={**recording.units, "7": shuffled}), AROUND_GO)
    assert told(made) == [("warning", f"times of channel 7 go back {back} times; they were sorted.")]
    np.testing.assert_array_equal(made.arrays["train_encod_data"], make(raw_of(recording), AROUND_GO).arrays["train_encod_data"])


def test_negative_times_are_taken_as_they_are_and_told(recording):
    made = make(raw_of(recording, units={**recording.units, "7": np.concatenate([[-2.0, -1.0], recording.units["7"]])}), AROUND_GO)
    text = "2 of 1202 event times are negative. They are taken as they are; does the clock of the trials begin there too?"
    assert told(made) == [("warning", text)]


def test_times_that_are_no_numbers_are_refused(recording):
    times = recording.units["7"].copy()
    times[3] = np.nan
    text = "mine: times of channel 7 must be finite, got NaN or infinite for 1 of 400. Leave these rows out."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, units={"7": times}), AROUND_GO)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_whole_recording_whose_events_are_not_finite_is_refused_before_windows_are_laid(recording, value):
    broken = {**recording.units, "7": np.full_like(recording.units["7"], value)}
    text = f"mine: times of channel 7 must be finite, got NaN or infinite for {broken['7'].size} of {broken['7'].size}. Leave these rows out."
    with pytest.raises(DataError, match=re.escape(text)):
        make(raw_of(recording, units=broken, trials=None), MakeOptions(bin_ms=10, window=WindowOptions(chop_ms=500)))


def test_windows_that_share_time_are_refused_until_one_insists(recording):
    wide = WindowOptions(event="go", before_ms=200, after_ms=1500)
    text = (
        "mine: windows of different trials must not overlap, got 9 that do, the first in rows 0 and 1 (200 ms). "
        "Training and validation would share data: shorten the window, or allow it with --overlaps keep."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording), MakeOptions(window=wide))
    made = make(raw_of(recording), MakeOptions(window=WindowOptions(event="go", before_ms=200, after_ms=1500, overlaps="keep")))
    np.testing.assert_array_equal(made.arrays["valid_encod_data"], recording.counts(0.2, 1.5, 0.01)[made.arrays["valid_inds"]])


def test_a_channel_without_events_is_told_and_can_be_left_out(recording):
    units = {**recording.units, "99": np.array([100.0])}
    made = make(raw_of(recording, units=units), AROUND_GO)
    assert told(made) == [("warning", "channel 99 of 4: no event in any window. --min-rate 0.01 leaves such channels out.")]
    made = make(raw_of(recording, units=units), MakeOptions(window=AROUND_GO.window, min_rate_hz=1.0))
    assert told(made) == [("info", "channel 99 of 4: fewer than 1 events/s in the windows, left out.")]
    assert made.arrays["channel_names"].tolist() == ["3", "7", "12"]
    with pytest.raises(DataError, match=r"^mine: at least one channel must have 500 events/s, got at most \S+\. Lower --min-rate\.$"):
        make(raw_of(recording), MakeOptions(window=AROUND_GO.window, min_rate_hz=500))


def test_events_and_trials_on_different_clocks_are_refused(recording):
    text = (
        "mine: events must lie in some window, got none of 1200: they run from 5000 to 5014.99 s, the windows begin from 0.1 to 13.6 s. "
        "Bring events and trials to one clock and one unit."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, units={name: times + 5000 for name, times in recording.units.items()}), AROUND_GO)


def test_trials_without_the_event_are_left_out(recording):
    go = recording.go.copy()
    go[[2, 5]] = np.nan
    made = make(raw_of(recording, trials=Trials(start=recording.start, stop=recording.stop, columns={"go": go})), AROUND_GO)
    assert told(made) == [("info", "2 of 10 trials have no 'go': left out.")]
    assert sorted([*made.arrays["train_inds"], *made.arrays["valid_inds"]]) == [0, 1, 3, 4, 6, 7, 8, 9]
    none = Trials(start=recording.start, stop=recording.stop, columns={"go": np.full(10, np.nan)})
    with pytest.raises(DataError, match=r"^mine: must have trials with the event, got none\. Choose another event\.$"):
        make(raw_of(recording, trials=none), AROUND_GO)


def test_bins_beyond_the_trial_are_kept_dropped_or_not_observed(recording):
    stop = recording.stop.copy()
    stop[[1, 6]] = recording.go[[1, 6]] + 0.405
    trials = Trials(start=recording.start, stop=stop, columns={"go": recording.go})

    def made(beyond):
        window = WindowOptions(event="go", before_ms=200, after_ms=500, beyond=beyond)
        return make(raw_of(recording, trials=trials), MakeOptions(window=window, split=SplitOptions(by="last")))

    kept, dropped, masked = made("keep"), made("drop"), made("nan")
    assert kept.arrays["train_encod_data"].shape[0] == 8
    assert told(dropped) == [("info", "2 of 10 trials do not fill their windows: left out.")]
    assert dropped.arrays["train_inds"].tolist() == [0, 2, 3, 4, 5, 7]
    missing = np.isnan(masked.arrays["train_encod_data"])
    assert np.argwhere(missing.all(axis=2)).tolist() == [[row, t] for row in (1, 6) for t in range(60, 70)]  # the bin that the end falls in too
    assert missing.sum() == 2 * 10 * 3
    assert told(masked) == [("warning", "60 of 2100 values are NaN, not observed: train with 'sbtt' (or the recipe 'zig').")]


def test_channels_that_were_off_drop_the_trial_or_are_not_observed(recording):
    off = {"7": np.array([[0.0, 4.0], [8.0, 15.0]])}  # of trials 3 to 5 a part
    made = make(raw_of(recording, observed=off), AROUND_GO)
    assert told(made) == [("info", "3 of 10 windows hold bins in which a channel was not recorded: left out.")]
    assert sorted([*made.arrays["train_inds"], *made.arrays["valid_inds"]]) == [0, 1, 2, 6, 7, 8, 9]
    made = make(raw_of(recording, observed=off), MakeOptions(window=AROUND_GO.window, unobserved="nan", split=SplitOptions(by="last")))
    missing = np.isnan(made.arrays["train_encod_data"])
    assert not missing[:, :, [0, 2]].any()
    assert missing[:, :, 1].sum(axis=1).tolist() == [0, 0, 0, 70, 70, 40, 0, 0]  # trial 5 sees 7.6 to 8.3 s
    never = {"7": np.array([[90.0, 91.0]])}
    text = "mine: every channel must be recorded in at least one window, got none. Use --unobserved nan, or leave channels out."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, observed=never), AROUND_GO)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (
            WindowOptions(event="gp"),
            "mine: an event must be a column of the trials, got 'gp'. Did you mean 'go'? There is 'start', 'stop', 'go', 'side'.",
        ),
        (WindowOptions(event="side"), "mine: the event 'side' must hold times, got text such as 'left'. Choose another column."),
        (
            WindowOptions(event="go", before_ms=15, after_ms=100),
            "mine: --before must be whole bins of 10 ms, got 15 ms. Take 10 or 20.",
        ),
        (WindowOptions(chop_ms=60_000), "mine: a window must fit into the recording, got 6000 bins in at most 125. Shorten it."),
    ],
)
def test_windows_that_cannot_be_cut_are_refused(recording, window, text):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording), MakeOptions(window=window))


def test_tables_of_trials_that_make_no_sense_are_refused(recording):
    text = "mine: trials must stop after they start, got 1.25 to 0 s in row 0. Are columns swapped?"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, trials=Trials(start=recording.stop, stop=recording.start)), MakeOptions(clock="s"))
    text = "mine: needs trials to cut, got none. Give a table of trials (--trials), or chop the whole recording with `lfads data chop`."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, trials=None))
    text = "mine: must hold at least one channel, got none. Check which arrays hold the events."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw_of(recording, units={}))


def test_options_that_contradict_one_another_are_told_all_at_once():
    options = MakeOptions(
        bin_ms=-1.0,
        clock="min",
        window=WindowOptions(event="go", chop_ms=100, overlap_ms=100),
        split=SplitOptions(by="every", every=1, test=0.1),
        smooth_ms=-3,
    )
    with pytest.raises(ConfigError) as err:
        make(Raw(where="mine", units={"a": np.ones(1)}), options)
    assert str(err.value).splitlines() == [
        "bin_ms: must be at least 1e-06, got -1.0",
        "clock: must be one of s, ms, us, ns, got 'min'",
        "smooth_ms: must be >= 0, got -3",
        "window: chopping takes the whole recording, so it goes with no event, before_ms or after_ms. Give one or the other.",
        "window.overlap_ms: must be >= 0 and less than the window of 100 ms, got 100",
        "split.every: must be >= 2, got 1",
        "split.test: every n-th trial is for validation, so there is no test split; use the random one, or a column.",
    ]


def test_a_long_recording_in_bins_is_cut_at_its_own_bins_and_made_wider():
    rng = np.random.default_rng(0)
    values = rng.poisson(1.0, (1000, 4)).astype(float)
    trials = Trials(start=np.array([0.1, 1.2, 2.4, 3.3]), stop=np.array([1.0, 2.2, 3.2, 4.2]))
    raw = Raw(where="mine", signal=Signal(values=values, bin_ms=5.0, start=0.05), names=tuple("abcd"), trials=trials)
    made = make(raw, MakeOptions(bin_ms=20.0, window=WindowOptions(after_ms=400), split=SplitOptions(by="last", valid=0.25)))
    first = [10, 230, 470, 650]  # (start - 0.05) / 0.005
    expected = np.stack([values[a : a + 80].reshape(20, 4, 4).sum(axis=1) for a in first])
    np.testing.assert_array_equal(made.arrays["train_encod_data"], expected[:3])
    np.testing.assert_array_equal(made.arrays["valid_encod_data"], expected[3:])
    mean = make(raw, MakeOptions(bin_ms=20.0, window=WindowOptions(after_ms=400), split=SplitOptions(by="last", valid=0.25), reduce="mean"))
    np.testing.assert_allclose(mean.arrays["train_encod_data"], expected[:3] / 4)
    text = "mine: new bins must be whole multiples of the 5 ms that are there, got 12 ms. Choose 10."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(raw, MakeOptions(bin_ms=12.0, window=WindowOptions(after_ms=360)))


def test_a_bin_with_a_gap_in_it_is_a_gap():
    values = np.array([[[1.0], [2.0], [np.nan], [4.0], [5.0]]])
    np.testing.assert_array_equal(rebin(values, 2, "sum"), [[[3.0], [np.nan]]])
    np.testing.assert_array_equal(rebin(values, 2, "mean"), [[[1.5], [np.nan]]])


def test_series_go_with_the_trials_they_belong_to(recording):
    raw = raw_of(recording, series={"hand": Series(times=recording.hand_times, values=recording.hand)})
    made = make(raw, MakeOptions(window=AROUND_GO.window, behaviour=("hand",)))
    rows = made.arrays["valid_inds"]
    middles = recording.go[rows][:, None] - 0.2 + np.arange(70) * 0.01 + 0.005
    got = made.arrays["valid_behavior"]
    np.testing.assert_allclose(got[..., 0], 3 * middles, atol=3 * 0.004)  # a mean of samples lies within a sample of the middle
    np.testing.assert_allclose(got[..., 0] / 3, 5 - got[..., 1], atol=1e-5)
    assert (made.attributes["behavior_names"], made.attributes["behavior_units"]) == ("hand", "unknown")
