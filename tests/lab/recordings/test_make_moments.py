"""When things happen within trials, which trials are decoded together, and what dimensions of behaviour are called."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfads_core.errors import ConfigError, DataError
from lfads_plugins_lab.recordings import Cut, MakeOptions, Raw, Series, SplitOptions, Trials, WindowOptions, make

IN_ORDER = SplitOptions(by="last")


def raw_of(recording, series=None, **columns):
    trials = Trials(start=recording.start, stop=recording.stop, columns=columns)
    return Raw(where="mine", units=recording.units, trials=trials, series=series or {})


def test_events_are_milliseconds_from_the_beginning_of_the_window_the_one_aligned_to_first(recording):
    reward = np.where(np.arange(10) == 4, np.nan, recording.stop - 0.05)
    raw = raw_of(recording, reward=reward, go=recording.go, block=np.arange(10) // 5, size=np.full(10, 2.5), correct=np.ones(10, dtype=bool))
    made = make(raw, MakeOptions(window=WindowOptions(event="go", before_ms=100, after_ms=500), split=IN_ORDER))
    assert made.arrays["event_names"].tolist() == ["go", "reward"]  # and neither numbers of blocks nor sizes
    np.testing.assert_allclose(made.arrays["train_go_ms"], 100.0)
    np.testing.assert_allclose(made.arrays["train_reward_ms"], 1000 * (reward - recording.go + 0.1)[:8])
    np.testing.assert_array_equal(made.arrays["valid_reward"], reward[8:])  # as it was, too
    np.testing.assert_allclose(made.arrays["valid_trial_start_s"], recording.start[8:])
    np.testing.assert_allclose(made.arrays["valid_trial_stop_s"], recording.stop[8:])
    assert (made.attributes["aligned_to"], made.attributes["first_bin_ms"]) == ("go", -100.0)


def test_a_column_of_that_name_is_never_replaced(recording):
    raw = raw_of(recording, go=recording.go, go_ms=np.arange(10.0), trial_start_s=np.arange(10) * 2)
    made = make(raw, MakeOptions(window=WindowOptions(after_ms=500), split=IN_ORDER))
    np.testing.assert_array_equal(made.arrays["train_go_ms"], np.arange(8.0))
    np.testing.assert_array_equal(made.arrays["train_trial_trial_start_s"], np.arange(8) * 2)
    assert "event_names" not in made.arrays


def test_times_that_count_from_the_start_of_each_trial_give_the_same_windows(recording):
    reward = recording.start + np.linspace(0.9, 1.1, 10)
    window = {"before_ms": 100, "after_ms": 500}
    absolute = make(raw_of(recording, go=recording.go, reward=reward), MakeOptions(window=WindowOptions(event="go", **window)))
    since = raw_of(recording, go=recording.go - recording.start, reward=reward - recording.start, tries=np.ones(10))
    relative = make(since, MakeOptions(window=WindowOptions(event="go", from_start=True, **window)))
    assert relative.arrays["event_names"].tolist() == ["go", "reward"]
    for key in ("train_encod_data", "valid_inds", "train_go_ms", "valid_reward_ms"):
        np.testing.assert_allclose(relative.arrays[key], absolute.arrays[key], atol=1e-6)
    with pytest.raises(ConfigError, match=r"^window\.from_start: is about the times of an event, got no event\. Say which column holds it\.$"):
        make(since, MakeOptions(window=WindowOptions(from_start=True)))


@pytest.mark.parametrize(("change", "first"), [(lambda go, start: go - start, "0.3 s, in a trial from 6 to 7.25 s"), (lambda go, _: go * 1000, "")])
def test_an_event_far_from_its_trials_is_refused(recording, change, first):
    raw = raw_of(recording, go=change(recording.go, recording.start))
    with pytest.raises(DataError, match=r"^mine: the event 'go' must lie near its trial, got ") as refused:
        make(raw, MakeOptions(window=WindowOptions(event="go", before_ms=100, after_ms=500)))
    assert str(refused.value).endswith(
        "If it counts from the start of the trial, use --event-from-start; otherwise bring it to the clock and unit of the trials."
    )
    assert re.search(r"got (\d+) of 10 ", str(refused.value))[1] in {"8", "9", "10"}
    assert first in str(refused.value) or "from 3 to 4.25" in str(refused.value)


def test_windows_after_the_end_of_their_trials_are_cut(recording):
    made = make(raw_of(recording), MakeOptions(window=WindowOptions(event="stop", after_ms=200), split=IN_ORDER))
    edges = recording.stop[0] + np.arange(21) * 0.01
    expected = np.stack([np.histogram(times, edges)[0] for times in recording.units.values()], axis=1)
    np.testing.assert_array_equal(made.arrays["train_encod_data"][0], expected)


def test_windows_that_are_moved_at_random_line_up_again_by_their_jitter(recording):
    raw = Raw(
        where="mine", units={"a": recording.go + 0.0553}, trials=Trials(start=recording.start, stop=recording.stop, columns={"go": recording.go})
    )
    window = WindowOptions(event="go", before_ms=200, after_ms=400, jitter_ms=100)
    made = make(raw, MakeOptions(window=window, split=IN_ORDER))
    jitter = np.concatenate([made.arrays["train_jitter"], made.arrays["valid_jitter"]])
    assert len(set(jitter.tolist())) > 4
    assert np.abs(jitter).max() <= 10
    trials, bins, _ = np.nonzero(np.concatenate([made.arrays["train_encod_data"], made.arrays["valid_encod_data"]]))
    assert trials.tolist() == list(range(10))
    np.testing.assert_array_equal(bins + jitter, 25)  # 55 ms after the cue, which is at 200 ms
    np.testing.assert_allclose(made.arrays["train_go_ms"], 200 - 10 * jitter[:8])
    again = make(raw, MakeOptions(window=window, split=SplitOptions(by="last", valid=0.5)))
    np.testing.assert_array_equal(again.arrays["train_jitter"], jitter[:5])


def test_trials_are_decoded_within_the_values_of_a_column(recording):
    kind = np.array(["active", "passive", "", "active", "passive", "passive", "active", "", "passive", "active"], dtype=object)
    made = make(raw_of(recording, kind=kind), MakeOptions(window=WindowOptions(after_ms=500), decode_within="kind", split=SplitOptions(by="every")))
    assert made.arrays["decode_groups"].tolist() == ["active", "passive"]
    for split in ("train", "valid"):
        rows = made.arrays[f"{split}_inds"]
        expected = np.stack([kind[rows] == "active", kind[rows] == "passive"], axis=1)
        np.testing.assert_array_equal(made.arrays[f"{split}_decode_mask"], expected)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("kin", "what trials are decoded within must be one of their columns, got 'kin'. Did you mean 'kind'? There is 'kind', 'none'."),
        ("none", "what trials are decoded within must have values, got none. Choose another column."),
        (
            "kind",
            (
                "each group that is decoded by itself must have trials in the split 'valid', got none for '1'. Make it a --condition, "
                "which splits are stratified by, or choose another column."
            ),
        ),
    ],
)
def test_groups_that_cannot_be_decoded_are_refused(recording, column, text):
    raw = raw_of(recording, kind=(np.arange(10) < 5).astype(float), none=np.full(10, np.nan))
    with pytest.raises(DataError, match=f"^mine: {re.escape(text)}$"):
        make(raw, MakeOptions(window=WindowOptions(after_ms=500), decode_within=column, split=IN_ORDER))


def test_dimensions_of_behaviour_keep_their_names_and_units(recording):
    series = {
        "hand": Series(times=recording.hand_times, values=recording.hand, names=("x", "y"), unit="mm"),
        "eye": Series(times=recording.hand_times, values=recording.hand),
        "pupil": Series(times=recording.hand_times, values=recording.hand[:, :1], unit="mm"),
    }
    made = make(raw_of(recording, series), MakeOptions(behaviour=("pupil", "hand"), window=WindowOptions(after_ms=500)))
    assert made.arrays["behavior_dimensions"].tolist() == ["pupil", "hand x", "hand y"]
    assert made.arrays["behavior_dimension_units"].tolist() == ["mm", "mm", "mm"]
    made = make(raw_of(recording, series), MakeOptions(behaviour=("eye",), window=WindowOptions(after_ms=500)))
    assert made.arrays["behavior_dimensions"].tolist() == ["eye 0", "eye 1"]
    assert made.arrays["behavior_dimension_units"].tolist() == ["", ""]
    assert (made.attributes["hand_unit"], made.attributes["pupil_unit"]) == ("mm", "mm")


def test_counts_in_bins_of_an_unlikely_width_are_told():
    source = Cut(where="mine", values=np.full((10, 5, 2), 3.0), bin_ms=0.02, names=("a", "b"))
    text = "bins of 0.02 ms hold 3 events each: 1.5e+05 events/s in the usual channel. Is their width in ms?"
    assert [(p.severity, p.text) for p in make(source).problems] == [("warning", text)]
