"""Reading one HDF5 file: what becomes of each array, and the sentence for each way it can be wrong."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.layout import session_from_arrays
from lfads_core.errors import DataError


def refused(path, text):
    """Expect one line: the path, then ``text``."""
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: {text}')}$"):
        read_hdf5(path)


def test_only_encoded_data_are_reconstructed_too_and_kept_once(write_recording, counts):
    session = read_hdf5(write_recording("a.h5", counts))
    assert session.name == "a"
    assert list(session.splits) == ["train", "valid"]
    train = session.splits["train"]
    assert train.recon is train.encod
    assert train.external.shape == (12, 5, 0)
    np.testing.assert_array_equal(train.encod, counts["train_encod_data"])


def test_equal_values_stored_twice_are_kept_once(write_recording, counts):
    counts["train_encod_data"][0, 0, 0] = np.nan
    copies = {key.replace("encod", "recon"): values for key, values in counts.items()}
    train = read_hdf5(write_recording("a.h5", {**counts, **copies})).splits["train"]
    assert train.recon is train.encod


def test_everything_else_rides_along_where_it_belongs(write_recording, counts):
    arrays = {
        **counts,
        "train_behavior": np.ones((12, 5, 2)),
        "valid_behavior": np.zeros((10, 5, 2)),
        "train_cond": np.arange(12),
        "train_label": np.array(["left"] * 12, dtype=object),
        "train_odd": np.ones(11),
        "readin_weight": np.ones((3, 2)),
        "notes": "recorded on a Monday",
        "bin_ms": 10.0,
    }
    session = read_hdf5(write_recording("a.h5", arrays, area=np.bytes_(b"M1"), channels=["c1", "c2", "c3"], days=3, none=h5py.Empty("f4")))
    assert set(session.splits["train"].extras) == {"behavior", "cond", "label"}
    assert session.splits["train"].extras["cond"].dtype == np.int64
    assert session.splits["train"].extras["label"].tolist() == ["left"] * 12
    assert set(session.splits["valid"].extras) == {"behavior"}
    assert set(session.arrays) == {"readin_weight", "train_odd", "notes"}
    assert session.arrays["notes"].item() == "recorded on a Monday"
    assert session.attributes["area"] == "M1"
    assert session.attributes["channels"].tolist() == ["c1", "c2", "c3"]
    assert type(session.attributes["days"]) is int
    assert "none" not in session.attributes
    assert session.bin_ms == 10.0


def test_text_that_was_read_can_be_written_again(write_recording, counts):
    arrays = {**counts, "train_label": np.array(["left"] * 12, dtype=object)}
    session = read_hdf5(write_recording("a.h5", arrays, channels=["c1", "c2", "c3"]))
    again = read_hdf5(write_recording("b.h5", {**counts, "train_label": session.splits["train"].extras["label"]}, **session.attributes))
    assert again.splits["train"].extras["label"].tolist() == ["left"] * 12
    assert again.attributes["channels"].tolist() == ["c1", "c2", "c3"]


@pytest.mark.parametrize("stored", [np.uint8, np.int64, np.float64, bool])
def test_numbers_of_any_type_become_float32(write_recording, counts, stored):
    path = write_recording("a.h5", {key: values.astype(stored) for key, values in counts.items()})
    train = read_hdf5(path).splits["train"]
    assert train.encod.dtype == np.float32
    np.testing.assert_array_equal(train.encod, counts["train_encod_data"].astype(stored).astype(np.float32))


def test_float64_is_kept_when_asked_for(write_recording, counts):
    values = {key: array.astype(np.float64) + 1e-12 for key, array in counts.items()}
    train = read_hdf5(write_recording("a.h5", values), dtype=np.float64).splits["train"]
    np.testing.assert_array_equal(train.encod, values["train_encod_data"])
    assert train.external.dtype == np.float64


def test_a_group_for_each_split_is_read_like_a_prefix(write_recording, counts):
    grouped = {key.replace("_", "/", 1): values for key, values in counts.items()}
    session = read_hdf5(write_recording("a.h5", {**grouped, "train/cond": np.arange(12), "meta/depth": np.ones(3)}))
    np.testing.assert_array_equal(session.splits["valid"].encod, counts["valid_encod_data"])
    assert set(session.splits["train"].extras) == {"cond"}
    assert set(session.arrays) == {"meta/depth"}


def test_a_test_split_and_more_bins_and_channels_out_than_in(write_recording):
    arrays = {}
    for split, trials in (("train", 4), ("valid", 3), ("test", 2)):
        arrays[f"{split}_encod_data"] = np.zeros((trials, 5, 3))
        arrays[f"{split}_recon_data"] = np.zeros((trials, 7, 4))
        arrays[f"{split}_ext_input"] = np.ones((trials, 6, 2))
    session = read_hdf5(write_recording("a.h5", arrays))
    assert list(session.splits) == ["train", "valid", "test"]
    assert session.splits["test"].recon.shape == (2, 7, 4)
    assert session.splits["test"].external.shape == (2, 6, 2)


def test_any_one_split_will_do_when_none_is_required(write_recording):
    path = write_recording("a.h5", {"test_encod_data": np.zeros((2, 5, 3))})
    assert list(read_hdf5(path, required=()).splits) == ["test"]
    with pytest.raises(DataError, match=r"'train_encod_data' .* must be there"):
        read_hdf5(path)


def test_numpy_arrays_make_a_session_too_and_errors_name_it(counts):
    session = session_from_arrays("mine", {**counts, "bin_ms": 5.0})
    assert (session.name, session.path, session.bin_ms) == ("mine", None, 5.0)
    with pytest.raises(DataError, match=r"^session 'mine': 'train_encod_data' must be \(trials, bins, channels\), got shape \(12, 15\)\."):
        session_from_arrays("mine", {**counts, "train_encod_data": np.zeros((12, 15))})


def test_a_missing_key_names_near_misses_and_what_is_there(write_recording, counts):
    path = write_recording("a.h5", {"train_encode_data": counts["train_encod_data"], "valid_encod_data": counts["valid_encod_data"]})
    refused(
        path,
        "'train_encod_data' (trials, bins, channels) must be there, found none. Did you mean 'train_encode_data'? "
        "It holds 'train_encode_data', 'valid_encod_data'. Rename the array to 'train_encod_data' or 'train_data'; "
        "a raw recording is made into such a file by `lfads data make`.",
    )


def test_a_missing_validation_split_is_refused(write_recording, counts):
    del counts["valid_encod_data"]
    path = write_recording("a.h5", counts)
    refused(
        path,
        "'valid_encod_data' (trials, bins, channels) must be there, found none. It holds 'train_encod_data'. "
        f"Split its trials anew: lfads data split {path} -o a_split.h5",
    )


@pytest.mark.parametrize("required", [("train", "valid"), ()])
def test_a_file_without_arrays_is_refused(write_recording, required):
    path = write_recording("a.h5", {})
    text = (
        "'train_encod_data' (trials, bins, channels) must be there, found none. It holds no array at all. "
        "Rename the array to 'train_encod_data' or 'train_data'; "
        "a raw recording is made into such a file by `lfads data make`."
    )
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: {text}')}$"):
        read_hdf5(path, required=required)


def test_data_to_reconstruct_without_input_are_refused(write_recording, counts):
    path = write_recording("a.h5", {"train_recon_data": counts["train_encod_data"], "valid_encod_data": counts["valid_encod_data"]})
    refused(
        path,
        "'train_encod_data' must be there beside 'train_recon_data', found none. The encoders need something to read: add it.",
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(
            {"train_encod_data": np.zeros((12, 15))},
            "'train_encod_data' must be (trials, bins, channels), got shape (12, 15). "
            "Give it three axes in this order, of length 1 where there is one.",
            id="rank",
        ),
        pytest.param(
            {"train_recon_data": np.zeros((11, 5, 3))},
            "'train_recon_data' must have as many trials as 'train_encod_data', got 11 and 12. Write both from the same trials.",
            id="trials",
        ),
        pytest.param(
            {"train_ext_input": np.zeros((13, 5, 3))},
            "'train_ext_input' must have as many trials as 'train_encod_data', got 13 and 12. Write both from the same trials.",
            id="trials-external",
        ),
        pytest.param(
            {"train_recon_data": np.zeros((12, 4, 3))},
            "'train_encod_data' must not have more bins than 'train_recon_data', got 5 and 4. Cut the input, or reconstruct all bins that are read.",
            id="bins",
        ),
        pytest.param(
            {"train_ext_input": np.zeros((12, 6, 1))},
            "'train_ext_input' must not have more bins than are reconstructed, got 6 and 5. Cut it to the bins of the data.",
            id="bins-external",
        ),
        pytest.param(
            {"train_encod_data": np.zeros((0, 5, 3))},
            "'train_encod_data' must have at least one of each of trials, bins and channels, got no trials (0, 5, 3). Fill or delete it.",
            id="empty-split",
        ),
        pytest.param(
            {"valid_encod_data": np.zeros((10, 5, 0))},
            "'valid_encod_data' must have at least one of each of trials, bins and channels, got no channels (10, 5, 0). Fill or delete it.",
            id="no-channels",
        ),
        pytest.param(
            {"train_encod_data": np.full((12, 5, 3), b"x")},
            "'train_encod_data' must hold numbers, got type |S1. Store it as integers or floating-point numbers.",
            id="text",
        ),
        pytest.param(
            {"train_encod_data": np.zeros((12, 5, 3), dtype=complex)},
            "'train_encod_data' must hold numbers, got type complex128. Store it as integers or floating-point numbers.",
            id="complex",
        ),
        pytest.param(
            {"valid_encod_data": np.zeros((10, 5, 4))},
            "'train_encod_data' and 'valid_encod_data' must have the same bins and channels, got (5, 3) and (5, 4). "
            "Cut both splits from one recording in one way.",
            id="splits-differ",
        ),
        pytest.param(
            {"train_ext_input": np.zeros((12, 5, 2))},
            "'train_ext_input' and 'valid_ext_input' must have the same bins and channels, got (5, 2) and (5, 0). "
            "Cut both splits from one recording in one way.",
            id="external-in-one-split",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_one_line(write_recording, counts, changes, text):
    refused(write_recording("a.h5", {**counts, **changes}), text)


@pytest.mark.parametrize("width", [0.0, -5.0, np.inf, np.nan, "5 ms", np.array([5.0, 5.0])])
def test_a_bin_width_that_is_no_length_of_time_is_refused(write_recording, counts, width):
    path = write_recording("a.h5", counts, bin_ms=width)
    with pytest.raises(DataError, match=r"a\.h5: attribute 'bin_ms' must be one number of milliseconds > 0, got .*\. Mend or delete it\.$"):
        read_hdf5(path)


def test_a_missing_file_is_refused_with_one_line(tmp_path):
    refused(tmp_path / "no.h5", "must be an HDF5 file, found nothing there. Check the path.")


def test_a_folder_is_no_file(tmp_path):
    refused(tmp_path, "must be an HDF5 file, got a folder. Name a file in it.")


def test_a_truncated_file_is_refused_with_one_line(write_recording, counts):
    path = write_recording("a.h5", counts)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "must be a whole HDF5 file, but its end is missing. Copy or write it again.")


@pytest.mark.parametrize(("content", "what"), [(b"not HDF5 at all, but long enough to be something", "something else"), (b"", "an empty file")])
def test_a_file_that_is_not_hdf5_is_refused_with_one_line(tmp_path, content, what):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    refused(path, f"must be an HDF5 file, got {what}. Convert it, or install a plugin that reads it.")


def test_a_damaged_array_is_named(tmp_path, counts):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for key, values in counts.items():
            file.create_dataset(key, data=values, chunks=True, compression="gzip")
        chunk = file["train_encod_data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.h5: 'train_encod_data' must be readable, but HDF5 says: .*\. Copy or write it again\.$"):
        read_hdf5(path)


def test_a_file_without_permission_says_so(write_recording, counts, monkeypatch):
    path = write_recording("a.h5", counts)
    if os.geteuid() == 0:  # root may read everything, so HDF5's answer is played

        def denied(*_args, **_options):
            raise PermissionError(errno.EACCES, "Unable to synchronously open file")

        monkeypatch.setattr(h5py, "File", denied)
    else:
        path.chmod(0)
    refused(path, "must be readable, but you have no permission. Ask its owner, or run 'chmod u+r' on it.")


@pytest.mark.skipif("HDF5_USE_FILE_LOCKING" in os.environ, reason="the environment decides on locks")
def test_a_file_that_is_being_written_is_refused(write_recording, counts):
    fcntl = pytest.importorskip("fcntl", reason="locks of this kind exist on Unix only")
    path = write_recording("a.h5", counts)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(
            path,
            "must not be open for writing elsewhere, but another program holds its lock. Close the file there, "
            "or set HDF5_USE_FILE_LOCKING=FALSE if you know that nothing writes to it.",
        )


def test_a_file_system_without_locks_is_read_without_one(write_recording, counts, monkeypatch):
    path = write_recording("a.h5", counts)
    real = h5py.File

    def no_locks(name: Path, mode: str, *, locking: bool | None = None):
        if locking is None:
            raise OSError(errno.ENOLCK, "Unable to open file (unable to lock file, errno = 37, error message = 'No locks available')")
        return real(name, mode, locking=locking)

    monkeypatch.setattr(h5py, "File", no_locks)
    assert read_hdf5(path).splits["train"].trials == 12


def test_reading_leaves_the_file_closed(write_recording, counts):
    path = write_recording("a.h5", {**counts, "train_recon_data": np.zeros((1, 1, 1))})
    with pytest.raises(DataError):
        read_hdf5(path)
    with h5py.File(path, "a") as file:  # h5py refuses this while the file is open for reading
        file["more"] = 1
