"""Channels held out of the encoders' input."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfads_core.data.hold_out import hold_out_channels, pick_channels
from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError


@pytest.fixture
def session():
    """Eight channels; every value is its channel's index, so that order can be read off."""
    data = np.broadcast_to(np.arange(8.0), (4, 5, 8))
    arrays = {
        "train_encod_data": data,
        "valid_encod_data": data[:2],
        "train_truth": data + 0.5,
        "train_behavior": np.zeros((4, 5, 8)),
        "readin_weight": np.arange(8.0)[:, None] * np.ones(3),
        "readout_bias": np.arange(8.0),
        "depth": np.arange(8),
    }
    return session_from_arrays("s", arrays, {"channels": np.array(list("abcdefgh"), dtype=object), "bin_ms": 5.0})


def test_the_rule_is_the_published_one():
    """Written down by hand: RandomState(0).permutation(8) is 6 2 1 7 3 0 5 4, and int(0.25 * 8) = 2 of it are held out."""
    held_in, held_out = pick_channels(8, 0.25, 0)
    assert held_out.tolist() == [2, 6]
    assert held_in.tolist() == [0, 1, 3, 4, 5, 7]


def test_mc_maze_large_keeps_122_of_162_channels():
    held_in, held_out = pick_channels(162, 0.25, 0)
    assert (held_in.size, held_out.size) == (122, 40)


def test_data_truth_names_and_weights_follow_their_channels(session):
    order = [0, 1, 3, 4, 5, 7, 2, 6]
    held = hold_out_channels(session, 0.25, 0)
    train = held.splits["train"]
    assert train.encod[3, 4].tolist() == order[:6]
    assert train.recon[3, 4].tolist() == order
    assert held.splits["valid"].recon.shape == (2, 5, 8)
    assert (train.extras["truth"] == train.recon + 0.5).all()
    assert (train.extras["behavior"] == 0).all()
    assert "".join(held.attributes["channels"]) == "abdefhcg"
    assert held.arrays["channel_order"].tolist() == order
    assert held.arrays["readin_weight"][:, 0].tolist() == order[:6]
    assert held.arrays["readout_bias"].tolist() == order
    assert held.arrays["depth"].tolist() == list(range(8))  # not known to be about channels: mapped by channel_order
    assert held.bin_ms == 5.0


def test_outputs_map_back_through_channel_order(session):
    held = hold_out_channels(session, 0.5, 3)
    back = np.empty((4, 5, 8), dtype=np.float32)
    back[:, :, held.arrays["channel_order"]] = held.splits["train"].recon
    np.testing.assert_array_equal(back, session.splits["train"].recon)


def test_the_given_session_is_left_alone(session):
    hold_out_channels(session, 0.25, 0)
    assert session.splits["train"].encod[0, 0].tolist() == list(range(8))
    assert "channel_order" not in session.arrays


def test_another_seed_holds_out_other_channels():
    assert pick_channels(50, 0.25, 1)[1].tolist() != pick_channels(50, 0.25, 0)[1].tolist()


def test_a_fraction_of_nothing_changes_nothing(session):
    assert hold_out_channels(session, 0.0, 0) is session


def test_a_file_that_holds_channels_out_already_is_refused():
    arrays = {"train_encod_data": np.zeros((2, 5, 3)), "train_recon_data": np.zeros((2, 5, 4))}
    arrays |= {key.replace("train", "valid"): values for key, values in arrays.items()}
    text = (
        "session 's': holding channels out must start from all channels in the encoders' input, got 3 of 4: "
        "the file holds some out already. Set data.hold_out to null."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        hold_out_channels(session_from_arrays("s", arrays), 0.25, 0)


def test_a_fraction_too_small_for_one_channel_is_refused(session):
    text = (
        "session 's': data.hold_out.fraction must hold out at least one of 8 channels and leave one, got 0.1, which holds out 0. "
        "Choose a fraction of at least 0.12 and below 1."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        hold_out_channels(session, 0.1, 0)
