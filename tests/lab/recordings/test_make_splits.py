"""Splits, conditions, what is held out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_core.data.hold_out import pick_channels
from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import Cut, HoldOutOptions, MakeOptions, SplitOptions, make
from lfads_plugins_lab.recordings.split import split_notes, split_trials
from lfads_plugins_lab.recordings.trialwise import conditions


def cut(trials=20, bins=6, channels=8, **more):
    values = np.random.default_rng(1).poisson(1.0, (trials, bins, channels)).astype(float)
    return Cut(**{"where": "mine", "values": values, "bin_ms": 10.0, "names": tuple(f"n{i}" for i in range(channels)), **more})


@given(conditions=st.lists(st.integers(0, 3), min_size=8, max_size=60), valid=st.floats(0.1, 0.5), test=st.floats(0.0, 0.3), seed=st.integers(0, 99))
def test_a_stratified_split_takes_the_same_share_of_every_condition_to_one_trial(conditions, valid, test, seed):
    labels, n = np.array(conditions), len(conditions)
    splits = split_trials("mine", n, SplitOptions(valid=valid, test=test, seed=seed), labels, None)
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(n))
    assert splits["valid"].size == round(valid * n)
    assert splits.get("test", np.zeros(0)).size == round(test * n)
    for label in set(conditions):
        of = labels == label
        # Evenly spaced picks from the others: each of the two picks may be off by one, and so may what the first leaves.
        assert abs(of[splits["valid"]].sum() - valid * of.sum()) < 3
        if "test" in splits:
            assert abs(of[splits["test"]].sum() - test * of.sum()) < 2


def test_the_same_seed_gives_the_same_split_and_another_gives_another():
    first, same, other = (split_trials("mine", 100, SplitOptions(seed=seed), None, None)["valid"].tolist() for seed in (1, 1, 2))
    assert first == same != other


def test_every_fifth_the_last_and_what_the_trials_say():
    assert split_trials("mine", 12, SplitOptions(by="every", every=4), None, None)["valid"].tolist() == [3, 7, 11]
    last = split_trials("mine", 10, SplitOptions(by="last", valid=0.2, test=0.1), None, None)
    assert (last["valid"].tolist(), last["test"].tolist()) == ([7, 8], [9])
    said = np.array(["train", "val", "Test", "none", "training", "valid"], dtype=object)
    splits = split_trials("mine", 6, SplitOptions(by="column"), None, said)
    assert {name: rows.tolist() for name, rows in splits.items()} == {"train": [0, 4], "valid": [1, 5], "test": [2]}


def test_a_column_may_leave_splits_empty_which_is_told():
    splits = split_trials("mine", 4, SplitOptions(by="column"), None, np.array(["test", "train", "no", "train"], dtype=object))
    assert {name: rows.tolist() for name, rows in splits.items()} == {"train": [1, 3], "test": [0]}
    assert [note.text for note in split_notes(splits, 4)] == [
        "1 of 4 trials are in no split: left out.",
        "no trial is for validation: a trained model can infer these trials, none can be trained.",
    ]


def test_a_split_without_trials_is_refused():
    text = (
        "mine: the split 'valid' must have trials, got none of 3. Give more trials, or other shares. "
        "Trials that are only to be inferred say 'test' in a column, named by --split-column."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        split_trials("mine", 3, SplitOptions(valid=0.1), None, None)
    text = "mine: the column 'split' must say train, valid (or val) or test, got 'A', 'B'. Name another, or split by --valid."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        split_trials("mine", 3, SplitOptions(by="column"), None, np.array(["A", "B", "A"], dtype=object))
    text = "mine: the split must be a column of the trials, got 'fold'. There is 'side'."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(cut(per_trial={"side": np.arange(20)}), MakeOptions(split=SplitOptions(by="column", column="fold")))


def test_conditions_are_numbered_in_the_order_of_their_values_and_keep_their_names():
    columns = {"side": np.array(["right", "left", "left"], dtype=object), "size": np.array([2.0, 1.0, 2.0])}
    codes, names = conditions("mine", columns, ["side"])
    assert (codes.tolist(), names) == ([1, 0, 0], ("left", "right"))
    codes, names = conditions("mine", columns, ["side", "size"])
    assert (codes.tolist(), names) == ([2, 0, 1], ("left 1", "left 2", "right 2"))
    assert conditions("mine", columns, []) is None
    codes, names = conditions("mine", {"condition": np.array([5, 5, 3])}, [])
    assert (codes.tolist(), names) == ([1, 1, 0], ("3", "5"))
    text = "mine: a condition must be a column of the trials, got 'sid'. Did you mean 'side'? There is 'side', 'size'."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        conditions("mine", columns, ["sid"])


def test_held_out_channels_come_last_and_the_reader_takes_them_as_held_out():
    source = cut()
    made = make(source, MakeOptions(hold_out=HoldOutOptions(fraction=0.25, seed=3), split=SplitOptions(by="last")))
    held_in, held_out = pick_channels(8, 0.25, 3)
    order = [*held_in, *held_out]
    session = session_from_arrays("mine", made.arrays, made.attributes)
    train = session.splits["train"]
    assert train.nested
    np.testing.assert_array_equal(train.recon, source.values[:16][:, :, order])
    np.testing.assert_array_equal(train.encod, source.values[:16][:, :, held_in])
    np.testing.assert_array_equal(made.arrays["channel_order"], order)
    assert made.arrays["channel_names"].tolist() == [f"n{i}" for i in order]


def test_channels_are_held_out_by_name_or_by_what_is_known_of_them_and_bins_at_the_end():
    about = {"heldout": np.array([0, 1, 0, 0, 1, 0, 0, 0]), "area": np.array(list("abcdefgh"), dtype=object)}
    for options in (HoldOutOptions(channels=("n4", "n1"), forward_ms=20), HoldOutOptions(column="heldout", forward_ms=20)):
        made = make(cut(about=about), MakeOptions(hold_out=options))
        assert made.arrays["train_encod_data"].shape == (16, 4, 6)
        assert made.arrays["train_recon_data"].shape == (16, 6, 8)
        assert made.arrays["channel_order"].tolist() == [0, 2, 3, 5, 6, 7, 1, 4]
        assert made.arrays["channel_area"].tolist() == list("acdfghbe")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (HoldOutOptions(fraction=0.1), "mine: at least one of 8 channels must be held out and one kept, got 0 held out. Choose others."),
        (
            HoldOutOptions(channels=("n9",)),
            (
                "mine: a channel that is held out must be in the recording, got 'n9'. Did you mean 'n7'? "
                "There is 'n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7'."
            ),
        ),
        (HoldOutOptions(column="heldout"), "mine: what says which channels are held out must be known of each, got 'heldout'. There is nothing."),
        (HoldOutOptions(forward_ms=25), "mine: --forward must be whole bins of 10 ms and less than a trial of 6, got 25 ms."),
        (HoldOutOptions(forward_ms=60), "mine: --forward must be whole bins of 10 ms and less than a trial of 6, got 60 ms."),
    ],
)
def test_what_cannot_be_held_out_is_refused(options, text):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(cut(), MakeOptions(hold_out=options))


def test_trials_of_bins_are_made_wider_and_signals_beside_them_averaged():
    source = cut(per_trial={"hand": np.arange(20 * 12 * 2, dtype=float).reshape(20, 12, 2), "cond": np.arange(20) % 2, "train": np.arange(20)})
    made = make(source, MakeOptions(bin_ms=20.0, behaviour=("hand",), split=SplitOptions(by="last")))
    np.testing.assert_array_equal(made.arrays["train_encod_data"], source.values[:16].reshape(16, 3, 2, 8).sum(axis=2))
    np.testing.assert_allclose(made.arrays["valid_behavior"], source.per_trial["hand"][16:].reshape(4, 3, 4, 2).mean(axis=2))
    assert made.attributes["bin_ms"] == 20.0
    assert made.arrays["train_cond"].tolist() == [0, 1] * 8


@pytest.mark.parametrize(
    ("more", "options", "text"),
    [
        (
            {"per_trial": {"hand": np.zeros((20, 7, 1))}},
            {},
            (
                "mine: 'hand' must have whole numbers of samples in each of 6 bins, got 7 samples. "
                "It is sampled at another rate: bring it to a multiple of the bins first."
            ),
        ),
        ({"bin_ms": None}, {}, "mine: the width of a bin must be known, got no 'bin_ms'. Give it with --bin."),
        ({}, {"bin_ms": 80.0}, "mine: new bins must fit into trials of 6 bins, got 8 bins each. Choose narrower ones."),
    ],
)
def test_trials_of_bins_that_cannot_be_taken_are_refused(more, options, text):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        make(cut(**more), MakeOptions(**options))


def test_values_that_are_not_observed_stay_so_and_are_told():
    source = cut()
    source.values[3, 2:4, 1] = np.nan
    made = make(source, MakeOptions(split=SplitOptions(by="last")))
    assert made.arrays["train_encod_data"].dtype == np.float32
    np.testing.assert_array_equal(np.isnan(made.arrays["train_encod_data"]), np.isnan(source.values[:16]))
    assert [(p.severity, p.text) for p in made.problems] == [
        ("warning", "2 of 960 values are NaN, not observed: train with 'sbtt' (or the recipe 'zig').")
    ]


def test_smoothed_data_ride_along_by_scipys_filter():
    from scipy.ndimage import gaussian_filter1d

    source = cut(bins=60, bin_ms=8.0)
    made = make(source, MakeOptions(smooth_ms=16.0, split=SplitOptions(by="last")))
    inner = slice(10, -10)  # at the ends ours gives what lies beyond no weight
    expected = gaussian_filter1d(source.values[:16], 2.0, axis=1, truncate=4.0)
    np.testing.assert_allclose(made.arrays["train_smoothed"][:, inner], expected[:, inner], rtol=1e-5)


def test_truth_behaviour_and_external_input_of_a_source_keep_what_they_mean():
    truth = np.random.default_rng(2).uniform(size=(20, 6, 8))
    per_trial = {"truth": truth, "ext_input": np.ones((20, 6, 1)), "behavior": np.zeros((20, 6, 2)), "data": np.zeros((20, 6, 2))}
    source = cut(per_trial=per_trial)
    source.values[:, :, 5] = 0.0
    made = make(source, MakeOptions(bin_ms=20.0, min_rate_hz=1.0, hold_out=HoldOutOptions(channels=("n0",)), split=SplitOptions(by="last")))
    session = session_from_arrays("mine", made.arrays, made.attributes)
    order = [1, 2, 3, 4, 6, 7, 0]  # the silent one left out, the held-out one last
    np.testing.assert_allclose(session.splits["valid"].extras["truth"], truth[16:].reshape(4, 3, 2, 8).sum(axis=2)[:, :, order], rtol=1e-6)
    np.testing.assert_array_equal(session.splits["train"].external, 1.0)
    assert session.splits["train"].external.shape == (16, 3, 1)
    assert set(session.splits["train"].extras) == {"inds", "truth", "behavior", "trial_data"}
