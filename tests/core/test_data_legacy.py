"""Files of the original LFADS and of autolfads-tf2 are read as they are."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.legacy import rates_per_bin
from lfads_core.errors import DataError


@pytest.fixture
def old():
    rng = np.random.default_rng(3)
    data = {"train": rng.poisson(0.4, (8, 5, 3)), "valid": rng.poisson(0.4, (4, 5, 3))}
    return {
        **{f"{split}_data": values for split, values in data.items()},
        **{f"{split}_truth": np.full(values.shape, 0.5) for split, values in data.items()},
        "conversion_factor": 2.0,
        "train_ext_input": np.ones((8, 5, 2)),
        "valid_ext_input": np.ones((4, 5, 2)),
        "train_inds": np.arange(0, 16, 2),
        "valid_inds": np.arange(1, 8, 2),
        "condition_labels_train": np.arange(8),
        "condition_labels_valid": np.arange(4),
        "input_train_truth": np.ones((8, 5)),
        "alignment_matrix_cxf": np.ones((3, 2)),
        "alignment_bias_c": np.arange(3.0),
        "train_percentage": 0.8,
        "dt": 0.01,
    }


def test_every_old_key_finds_its_place(write_recording, old):
    session = read_hdf5(write_recording("old.h5", old))
    train, valid = session.splits["train"], session.splits["valid"]
    np.testing.assert_array_equal(train.encod, old["train_data"])
    assert train.recon is train.encod
    assert train.external.shape == (8, 5, 2)
    assert set(train.extras) == {"truth", "inds", "condition_labels", "input_truth"}
    assert set(valid.extras) == {"truth", "inds", "condition_labels"}
    np.testing.assert_array_equal(valid.extras["inds"], [1, 3, 5, 7])
    assert set(session.arrays) == {"readin_weight", "readout_bias", "train_percentage", "dt"}
    np.testing.assert_array_equal(session.arrays["readout_bias"], [0, 1, 2])


def test_truth_is_divided_by_the_conversion_factor_once(write_recording, old):
    session = read_hdf5(write_recording("old.h5", old))
    np.testing.assert_array_equal(session.splits["train"].extras["truth"], np.full((8, 5, 3), 0.25))
    assert "conversion_factor" not in session.arrays  # so that nobody divides again


def test_stored_truth_times_largest_rate_is_the_mean_of_the_data(write_recording):
    """The original generators draw spikes with probability ``truth * max_rate * dt`` and store 1 / (max_rate * dt)."""
    rng = np.random.default_rng(0)
    truth, scale = rng.uniform(0, 1, (400, 20, 3)), 30 * 0.01
    spikes = (rng.uniform(size=truth.shape) < truth * scale).astype(np.uint8)
    arrays = {"train_data": spikes, "train_truth": truth, "valid_data": spikes, "valid_truth": truth, "conversion_factor": 1 / scale}
    train = read_hdf5(write_recording("tf1.h5", arrays)).splits["train"]
    error = np.abs(train.extras["truth"] - spikes).mean(axis=(0, 1)) - 2 * (truth * scale * (1 - truth * scale)).mean(axis=(0, 1))
    assert np.abs(train.extras["truth"].mean() - spikes.mean()) < 6 * spikes.std() / np.sqrt(spikes.size)
    assert np.abs(error).max() < 0.02  # E|p - Bernoulli(p)| = 2 p (1 - p)


def test_truth_without_a_conversion_factor_stays_as_it_is(write_recording, old):
    del old["conversion_factor"]
    session = read_hdf5(write_recording("old.h5", old))
    np.testing.assert_array_equal(session.splits["train"].extras["truth"], old["train_truth"])


def test_a_factor_for_each_channel_is_taken():
    rates = rates_per_bin(np.ones((2, 4, 3)), np.array([1.0, 2.0, 4.0]), where="a.h5: train_truth")
    np.testing.assert_array_equal(rates[0, 0], [1.0, 0.5, 0.25])


def test_whole_truth_gives_rates_that_are_not_whole():
    assert rates_per_bin(np.ones((1, 1, 1), dtype=np.int64), np.array(4), where="a").item() == 0.25


@pytest.mark.parametrize(("factor", "shown"), [(0.0, "0."), (np.nan, "nan"), (np.ones(2), "[1. 1.]"), (b"2", "b'2'")])
def test_a_factor_that_cannot_divide_is_refused(factor, shown):
    text = (
        "a.h5: train_truth: 'conversion_factor' must be one finite number other than 0, or one for each channel, "
        f"got {shown}. It turns counts per bin into the units of the stored truth; mend or delete it."
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rates_per_bin(np.ones((2, 4, 3)), np.asarray(factor), where="a.h5: train_truth")


def test_new_names_win_over_old_ones(write_recording, old):
    new = {"train_encod_data": np.full((8, 5, 3), 7.0), "readin_weight": np.full((3, 2), 7.0)}
    session = read_hdf5(write_recording("both.h5", {**old, **new}))
    assert (session.splits["train"].encod == 7).all()
    assert "data" not in session.splits["train"].extras
    assert (session.arrays["readin_weight"] == 7).all()
    np.testing.assert_array_equal(session.splits["valid"].encod, old["valid_data"])
