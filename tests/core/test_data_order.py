"""The recording's own order of trials and channels."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.layout import session_arrays, session_from_arrays
from lfads_core.data.order import channel_order, trial_order
from lfads_core.errors import DataError


def recording(trials=11, bins=3, channels=7, seed=0):
    """Every value names its trial, bin and channel."""
    return 10000 * np.arange(1, trials + 1)[:, None, None] + 100 * np.arange(bins)[:, None] + np.arange(1, channels + 1.0)


@pytest.mark.parametrize("key", ["inds", "trial_index", "first_bin"])
@pytest.mark.parametrize("fraction", [0.0, 0.45])
def test_what_splits_and_held_out_channels_moved_comes_back(key, fraction):
    """Numbers of trials leave gaps, for trials that no split took."""
    data, numbers = recording(), np.arange(11) * 3 + 5
    shuffled = np.random.default_rng(1).permutation(11)
    rows = {"train": shuffled[:6], "valid": shuffled[6:9], "test": shuffled[9:]}
    arrays = {f"{split}_encod_data": data[at] for split, at in rows.items()} | {f"{split}_{key}": numbers[at] for split, at in rows.items()}
    session = hold_out_channels(session_from_arrays("s", arrays), fraction, seed=3)
    held = session_arrays(session)
    trials, channels = trial_order(held), channel_order(held)
    assert trials.key == key
    assert trials.trial.tolist() == numbers.tolist()
    assert trials.split.tolist() == [next(split for split, at in rows.items() if i in at) for i in range(11)]
    back = trials.merged({split: held.get(f"{split}_recon_data", held[f"{split}_encod_data"]) for split in rows})
    np.testing.assert_array_equal(channels.restored(back), data)
    seen = trials.merged({split: held[f"{split}_encod_data"] for split in rows})
    np.testing.assert_array_equal(channels.restored_input(seen), data[..., ~channels.held_out])
    assert channels.held_out.sum() == int(fraction * 7)


def test_without_numbers_one_split_follows_the_other():
    data = recording(5)
    trials = trial_order({"valid_encod_data": data[:2], "train_encod_data": data[2:], "train_trial_id": np.array(["a", "b", "c"])})
    assert trials.key is None
    assert trials.split.tolist() == ["train"] * 3 + ["valid"] * 2
    assert trials.rows.tolist() == [0, 1, 2, 3, 4]


def test_channels_of_another_modality_are_all_held_out():
    encod, recon = np.ones((4, 3, 5)), np.full((4, 3, 2), 7.0)
    found = channel_order({"train_encod_data": encod, "train_recon_data": recon})
    assert found.held_out.tolist() == [True, True]
    assert found.seen.tolist() == [0, 1, 2, 3, 4]


def test_what_is_said_of_each_channel_follows_it():
    data = recording()
    arrays = {
        "train_encod_data": data,
        "valid_encod_data": data,
        "train_smoothed": data / 2,
        "valid_smoothed": data / 2,
        "channel_depth": np.arange(7),
    }
    held = hold_out_channels(session_from_arrays("s", arrays, {"channel_names": np.array(list("abcdefg"), dtype=object)}), 0.45, 3)
    channels = channel_order(session_arrays(held))
    np.testing.assert_array_equal(channels.restored(held.splits["train"].extras["smoothed"]), data / 2)
    assert channels.restored(held.arrays["channel_depth"]).tolist() == list(range(7))
    assert "".join(channels.restored(held.attributes["channel_names"])) == "abcdefg"


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1], [0.5, 1.0, 2.0]])
def test_an_order_that_is_none_is_refused(order):
    got = np.array2string(np.array(order), separator=", ")
    text = f"outputs: 'channel_order' must name each of 3 channels once, from 0, got {got}. Mend or delete it."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        channel_order({"train_encod_data": np.zeros((2, 2, 3)), "channel_order": np.array(order)})
