"""The recording's own order where little says it, and channels that follow it when some are held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lfads_core.data.hold_out import hold_out_channels, rearranged
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.order import channel_order, of_each_channel, trial_order
from lfads_core.errors import DataError


def refused(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text


def data(*trials):
    return {f"{split}_encod_data": np.zeros((n, 4, 3)) for split, n in zip(("train", "valid", "test"), trials, strict=False)}


def test_what_holds_no_split_has_no_order():
    text = "must hold '<split>_encod_data' (trials, bins, channels), got none. Make them with `lfads infer`."
    for order in (trial_order, channel_order):
        refused(lambda: order({"train_other": np.ones((3, 4, 2))}), f"outputs: {text}")  # noqa: B023
        refused(lambda: order({}, "a.h5"), f"a.h5: {text}")  # noqa: B023


def test_without_numbers_every_split_follows_the_one_before():
    found = trial_order(data(3, 2))
    assert (found.splits, found.key) == (("train", "valid"), None)
    assert found.trial.tolist() == found.rows.tolist() == [0, 1, 2, 3, 4]
    merged = found.merged({"valid": np.array([4, 5]), "train": np.array([1, 2, 3])})
    assert merged.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["u1", "i8", "f4", ">f8"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1)])
def test_numbers_of_any_type_and_shape_are_taken(kind, shape):
    given = data(3, 2) | {"train_trial_id": np.array([9, 2, 4], kind).reshape(shape), "valid_trial_id": np.array([3, 1], kind).reshape(shape)}
    found = trial_order(given)
    assert (found.key, found.trial.tolist(), found.trial.dtype) == ("trial_id", [1, 2, 3, 4, 9], np.int64)
    assert found.rows.tolist() == [4, 1, 3, 2, 0]
    assert found.split.tolist() == ["valid", "train", "valid", "train", "train"]


@pytest.mark.parametrize(
    "numbers",
    [[1.5, 2, 3], [np.nan, 1, 2], [np.inf, 1, 2], [1, 2], [[1, 2, 3]], [[1, 2], [3, 4], [5, 6]], ["1", "2", "3"], [True, False, True], 7],
)
def test_what_is_no_whole_number_for_each_trial_gives_way_to_the_next(numbers):
    given = data(3, 2) | {"train_inds": np.array(numbers), "valid_inds": np.array([7, 8])}
    assert trial_order(given).key is None
    more = {"train_first_bin": np.array([20, 10, 0]), "valid_first_bin": np.array([40, 30])}
    found = trial_order(given | more)
    assert (found.key, found.rows.tolist()) == ("first_bin", [2, 1, 0, 4, 3])
    assert trial_order(given | {key: values for key, values in more.items() if "train" in key}).key is None


def test_numbers_that_stand_twice_are_refused():
    given = data(2, 2) | {"train_inds": np.array([0, 1]), "valid_inds": np.array([1, 2])}
    text = "'<split>_inds' must name every trial once over all splits, got some twice. Mend them in the recording."
    refused(lambda: trial_order(given), f"outputs: {text}")
    refused(lambda: trial_order(given, "a.h5"), f"a.h5: {text}")


def test_outputs_without_their_data_have_an_order_too():
    outputs = {"valid_output_params": np.zeros((4, 5, 3, 1)), "test_output_params": np.zeros((2, 5, 3, 1)), "test_inds": np.array([5, 1])}
    outputs["valid_inds"] = np.array([0, 2, 3, 4])
    assert trial_order(outputs).split.tolist() == ["valid", "test", "valid", "valid", "valid", "test"]
    found = channel_order(outputs)
    assert (found.place.tolist(), found.held_out.tolist(), found.seen.tolist()) == ([0, 1, 2], [False] * 3, [0, 1, 2])
    turned = channel_order(outputs | {"channel_order": np.array([2, 0, 1])})
    assert (turned.place.tolist(), turned.seen.tolist()) == ([1, 2, 0], [1, 2, 0])


def test_channels_that_the_encoders_do_not_read_are_found_in_the_recording_s_order():
    rng = np.random.default_rng(0)
    recon = rng.poisson(2.0, (6, 5, 4)).astype(float)
    arrays = {"valid_recon_data": recon, "valid_encod_data": recon[:, :4, :3]}
    found = channel_order(arrays)
    assert (found.place.tolist(), found.held_out.tolist(), found.seen.tolist()) == ([0, 1, 2, 3], [False, False, False, True], [0, 1, 2])
    found = channel_order(arrays | {"channel_order": np.array([[3], [0], [2], [1]], dtype="u1")})
    assert (found.place.tolist(), found.held_out.tolist(), found.seen.tolist()) == ([1, 3, 2, 0], [False, True, False, False], [1, 2, 0])
    original = rng.normal(size=(2, 4))
    np.testing.assert_array_equal(found.restored(original[:, [3, 0, 2, 1]]), original)
    np.testing.assert_array_equal(found.restored_input(original[:, [3, 0, 2]]), original[:, [0, 2, 3]])
    other = channel_order(arrays | {"channel_order": np.array([3, 0, 2, 1]), "valid_encod_data": 50 - recon[:, :, :3]})
    assert (other.place.tolist(), other.held_out.tolist(), other.seen.tolist()) == ([1, 3, 2, 0], [True] * 4, [0, 1, 2])


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        (np.array([0.0, 1.0, 2.0]), "[0., 1., 2.]"),
        (np.array(["0", "1"]), "['0', '1']"),
        (np.arange(8), "[0, 1, 2, 3, 4, 5, 6, 7]"),
        (np.arange(9), "[0, 1, 2, ..., 6, 7, 8]"),
    ],
)
def test_an_order_that_is_none_is_shown_in_few_words(order, shown):
    text = f"a.h5: 'channel_order' must name each of 3 channels once, from 0, got {shown}. Mend or delete it."
    refused(lambda: channel_order(data(2) | {"channel_order": order}, "a.h5"), text)


def test_what_is_said_of_each_channel_is_told_by_its_name():
    assert [
        key for key in ("channels", "channel_names", "channel_depth", "channel_order", "channel", "my_channel_x", "CHANNEL_X") if of_each_channel(key)
    ] == [
        "channels",
        "channel_names",
        "channel_depth",
    ]


def letters(**more):
    values = np.broadcast_to(np.arange(4.0), (5, 6, 4))
    arrays = {f"{split}_encod_data": values[:trials] for split, trials in (("train", 5), ("valid", 3))}
    return session_from_arrays("s", arrays | more, {"channels": np.array(list("abcd"), dtype=object)})


def test_channels_are_held_out_of_a_part_of_all_splits_and_arrays():
    more = {"channel_map": np.arange(8).reshape(4, 2), "channel_few": np.arange(3), "readin_weight": np.ones((2, 4)), "readout_bias": np.ones(5)}
    more |= {
        "train_truth": np.arange(20.0).reshape(5, 1, 4) + np.zeros((5, 2, 4)),
        "train_smoothed": np.arange(5.0),
        "channel_order": np.array([7, 5, 3, 1]),
    }
    session = letters(**more)
    found = hold_out_channels(session, 0.5, 6)
    order = found.splits["train"].recon[0, 0].astype(int)
    permuted = np.random.RandomState(6).permutation(4)  # 0 and 3 come first
    assert order.tolist() == sorted(permuted[2:]) + sorted(permuted[:2]) == [1, 2, 0, 3]
    assert found.arrays["channel_map"].tolist() == [[2 * i, 2 * i + 1] for i in order]
    assert found.arrays["channel_few"].tolist() == [0, 1, 2]
    assert found.arrays["readin_weight"].shape == (2, 4)
    assert found.arrays["readout_bias"].shape == (5,)
    assert found.arrays["channel_order"].tolist() == [[7, 5, 3, 1][i] for i in order]
    np.testing.assert_array_equal(found.splits["train"].extras["truth"], more["train_truth"][:, :, order])
    assert found.splits["train"].extras["smoothed"].tolist() == list(range(5))
    assert found.splits["train"].encod.base is not None
    assert found.splits["valid"].encod.shape == (3, 6, 2)


def test_an_input_of_its_own_is_reordered_by_itself():
    values = np.broadcast_to(np.arange(4.0), (5, 6, 4))
    session = letters(train_recon_data=np.where(np.arange(6)[:, None] == 5, 9.0, values), valid_recon_data=values[:3])
    found = rearranged(session, np.array([3, 0, 2, 1]), 3).splits["train"]
    assert found.encod[4, 5].tolist() == [3, 0, 2]
    assert found.recon[4, 5].tolist() == [9] * 4
    assert found.recon[4, 4].tolist() == [3, 0, 2, 1]
    assert found.recon.flags.c_contiguous
    assert found.encod.flags.c_contiguous


def test_what_cannot_hold_channels_out_says_where(tmp_path):
    path = tmp_path / "a.h5"
    session = replace(letters(), path=path)
    other = {name: replace(split, nested=False) for name, split in session.splits.items()}
    text = "channels can be held out of one modality only, got another one to reconstruct. Set data.hold_out to null."
    refused(lambda: hold_out_channels(replace(session, splits=other), 0.25, 0), f"{path}: {text}")
    refused(lambda: hold_out_channels(replace(letters(), splits=other), 0.25, 0), f"session 's': {text}")
    text = (
        "data.hold_out.fraction must hold out at least one of 4 channels and leave one, got 1.0, which holds out 4. "
        "Choose a fraction of at least 0.25 and below 1."
    )
    refused(lambda: hold_out_channels(session, 1.0, 0), f"{path}: {text}")
