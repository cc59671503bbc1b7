"""A recording into a file of the layout: whole or not at all, counts as small whole numbers."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.write import compact, write_layout, write_session
from lfads_core.errors import DataError


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1, 255], np.uint8),
        ([0, 256], np.uint16),
        ([65535], np.uint16),
        ([65536], np.float32),
        ([0, -1], np.float32),
        ([0.5, 2], np.float32),
        ([np.nan, 1], np.float32),
        ([np.inf, 1], np.float32),
        ([], np.uint8),
    ],
)
def test_counts_take_the_smallest_type_that_holds_them_and_the_rest_single_precision(values, kind):
    data = np.array(values, dtype=np.float64).reshape(1, -1, 1)
    stored = compact(data)
    assert stored.dtype == kind
    np.testing.assert_array_equal(stored, data)


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    arrays = {f"{split}_recon_data": rng.poisson(2.0, (trials, 5, 4)).astype("f4") for split, trials in (("train", 7), ("valid", 3))}
    arrays |= {key.replace("recon", "encod"): values[:, :4, :3] * (1.5 if "valid" in key else 100) for key, values in arrays.items()}
    more = {"train_truth": np.ones((7, 5, 4)), "train_label": np.array(["left"] * 7, dtype=object), "readout_bias": np.arange(4.0)}
    return session_from_arrays("s", arrays | more, {"bin_ms": 20.0, "area": "M1"})


def test_a_session_that_is_written_is_the_one_that_is_read_again(session, tmp_path):
    path = tmp_path / "new" / "folder" / "a.h5"
    assert write_session(session, path, {"area": "S1", "made_by": "me"}) == path
    with h5py.File(path) as file:
        assert file["train_recon_data"].dtype == np.uint8
        assert file["train_encod_data"].dtype == np.uint16
        assert file["valid_encod_data"].dtype == np.float32
        assert file["train_truth"].dtype == np.float64
        assert file["readout_bias"].dtype == np.float64
        assert dict(file.attrs) == {"bin_ms": 20.0, "area": "S1", "made_by": "me"}
    again = read_hdf5(path)
    for name, split in session.splits.items():
        np.testing.assert_array_equal(again.splits[name].recon, split.recon)
        np.testing.assert_array_equal(again.splits[name].encod, split.encod)
    assert again.splits["train"].extras["label"].tolist() == ["left"] * 7
    assert again.arrays["readout_bias"].tolist() == [0, 1, 2, 3]


def test_a_file_that_is_there_is_only_replaced_when_that_is_wanted(session, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"mine")
    for write in (lambda **force: write_layout(str(path), {"x": np.ones(3)}, {}, **force), lambda **force: write_session(session, path, {}, **force)):
        with pytest.raises(DataError) as caught:
            write()
        assert str(caught.value) == (f"{path}: a new file must not replace another, got one that exists. Choose another name, or use --force.")
        assert path.read_bytes() == b"mine"
        assert write(overwrite=True) == path
        with h5py.File(path) as file:
            assert file
        path.write_bytes(b"mine")
    assert [found.name for found in tmp_path.iterdir()] == ["a.h5"]


def test_a_parent_folder_that_is_there_already_is_no_fault_and_a_file_in_its_place_is(tmp_path):
    write_layout(tmp_path / "a.h5", {"x": np.ones(3)}, {})
    with pytest.raises(DataError) as caught:
        write_layout(tmp_path / "a.h5" / "b.h5", {"x": np.ones(3)}, {})
    path = tmp_path / "a.h5" / "b.h5"
    assert str(caught.value) in {f"{path}: the file must be writable, got {why}. Choose another place." for why in ("File exists", "Not a directory")}


def test_a_fault_without_words_of_the_system_s_is_told_as_it_is(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError("no more room")

    monkeypatch.setattr("lfads_core.data.write.OutputFile", full)
    with pytest.raises(DataError) as caught:
        write_layout(tmp_path / "a.h5", {"x": np.ones(3)}, {})
    assert str(caught.value) == f"{tmp_path / 'a.h5'}: the file must be writable, got no more room. Choose another place."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "values", "why"), [("x", np.zeros(3, "M8[s]"), "TypeError: "), ("label", np.array([{}], dtype=object), "TypeError: ")]
)
def test_values_that_hdf5_cannot_store_are_named_and_nothing_is_left(tmp_path, key, values, why):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError) as caught:
        write_layout(path, {"good": np.ones(2), key: values}, {})
    text = str(caught.value)
    assert text.startswith(f"{path}: '{key}' must have a name and values that HDF5 can store, got: {why}")
    assert text.endswith(". Rename, mend or delete it in the source.")
    assert not list(tmp_path.iterdir())


def test_text_is_stored_as_text_and_numbers_as_they_are(tmp_path):
    arrays = {"names": np.array(["é", "b"], dtype=object), "none": np.array([], dtype=object), "counts": np.arange(3, dtype=np.int16)}
    path = write_layout(tmp_path / "a.h5", arrays, {"n": 3})
    with h5py.File(path) as file:
        assert file["names"].asstr()[()].tolist() == ["é", "b"]
        assert h5py.check_string_dtype(file["names"].dtype).length is None
        assert h5py.check_string_dtype(file["none"].dtype) is not None
        assert file["counts"].dtype == np.int16
        assert file.attrs["n"] == 3
