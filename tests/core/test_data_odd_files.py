"""Files that are damaged, odd, or declare more than they hold: one sentence each, and nothing is read or allocated for them."""

from __future__ import annotations

import re
import tracemalloc

import h5py
import numpy as np
import pytest

from lfads_core.data.bounds import Room, spoken_reading
from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.read import read_sessions
from lfads_core.errors import DataError, LfadsError


@pytest.fixture
def odd(write_recording, counts):
    """A faultless recording, and what ``change`` does to the open file."""

    def make(change):
        path = write_recording("a.h5", counts)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def space(*shape):
    return h5py.h5s.create_simple(shape)


@pytest.mark.parametrize("chunks", [None, True])
@pytest.mark.parametrize("key", ["train_encod_data", "extra", "train_extra"])
@pytest.mark.parametrize("keep_on_disk", [False, True])
def test_far_more_declared_than_written_is_refused_before_anything_is_allocated(odd, chunks, key, keep_on_disk):
    def change(file):
        if key in file:
            del file[key]
        file.create_dataset(key, (12, 2**16, 2**13), "f4", chunks=chunks)

    path = odd(change)
    text = (
        f"{path}: '{key}' must be in the file as a whole, got 0 bytes of the 25.8 GB that its shape (12, 65536, 8192) declares. "
        "It was never written, or is damaged: write it again, or delete it."
    )
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
            read_hdf5(path, keep_on_disk=keep_on_disk)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_what_does_not_fit_is_refused_and_says_how_much_there_is(write_recording, counts):
    path = write_recording("a.h5", {**counts, "extra": np.zeros(1000)})
    size = sum(values.nbytes for values in counts.values())
    assert read_hdf5(path, room=size + 8000).arrays["extra"].shape == (1000,)
    with pytest.raises(DataError) as caught:
        read_hdf5(path, room=size + 7999)
    assert str(caught.value) == (
        f"{path}: 'extra' must fit into memory with what is read before it, got 8 kB (1000,) and 8 kB left of {(size + 7999) / 1e3:.3g} kB. "
        "Cut or delete it, or give more memory (data.memory_gb)."
    )


def test_a_recording_larger_than_its_room_stays_on_disk_and_the_rest_is_read(write_recording, counts):
    path = write_recording("a.h5", {**counts, "extra": np.zeros(1000)})
    (session,) = read_sessions([path], room=100)
    assert session.stored
    assert session.arrays["extra"].shape == (1000,)


def test_sizes_beyond_64_bits_are_counted():
    room = Room(100)
    with pytest.raises(DataError, match=re.escape("a: 'b' must fit into memory with what is read before it, got 3.4e+20 EB")):
        room.take("a", "'b'", (2**63, 2**63), 4)
    room.take("a", "'b'", (5, 5), 4)
    with pytest.raises(DataError, match=r"and 0 bytes left of 100 bytes"):
        room.take("a", "'b'", (1,), 1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            lambda file: h5py.h5d.create(file.id, b"train_\xe9", h5py.h5t.IEEE_F64LE, space(3)),
            "left out: 'train_\\\\xe9' (its name is no UTF-8).",
            id="name of an array",
        ),
        pytest.param(
            lambda file: h5py.h5d.create(file.id, b"when", h5py.h5t.UNIX_D32LE, space(3)),
            "left out: 'when' (No NumPy equivalent for TypeTimeID exists).",
            id="time",
        ),
    ],
)
def test_an_array_that_python_has_no_name_or_type_for_is_left_out_with_a_note(odd, change, text, caplog):
    path = odd(change)
    assert set(read_hdf5(path).splits) == {"train", "valid"}
    assert caplog.messages == [f"{path}: {text}"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            lambda file: h5py.h5a.create(file.id, b"\xff", h5py.h5t.IEEE_F64LE, h5py.h5s.create(h5py.h5s.SCALAR)),
            "the name of an attribute must be UTF-8, got b'\\xff'. Rename it, or delete it.",
            id="name of an attribute",
        ),
        pytest.param(
            lambda file: h5py.h5a.create(file.id, b"when", h5py.h5t.UNIX_D32LE, h5py.h5s.create(h5py.h5s.SCALAR)),
            "attribute 'when' must be readable, but HDF5 says: TypeError: No NumPy equivalent for TypeTimeID exists. Copy or write it again.",
            id="time of an attribute",
        ),
    ],
)
def test_an_attribute_that_python_has_no_name_or_type_for_is_named(odd, change, text):
    path = odd(change)
    with pytest.raises(DataError) as caught:
        read_hdf5(path)
    assert str(caught.value) == f"{path}: {text}"


COMPOUND = np.dtype([("a", "f4"), ("b", "S2")])
NEITHER = {
    "compound": (np.zeros(12, COMPOUND), None),
    "opaque": (np.zeros(12, "V4"), None),
    "ragged": (np.array([np.arange(n % 3 + 1.0) for n in range(12)], dtype=object), h5py.vlen_dtype("f8")),
}


@pytest.mark.parametrize("kind", NEITHER)
@pytest.mark.parametrize("key", ["train_cond", "train_behavior", "train_other", "other"])
def test_what_holds_neither_numbers_nor_text_is_left_out_and_told(odd, kind, key, caplog):
    values, dtype = NEITHER[kind]
    path = odd(lambda file: file.create_dataset(key, data=values, dtype=dtype))
    session = read_hdf5(path)
    assert key not in session.arrays
    assert key.removeprefix("train_") not in session.splits["train"].extras
    assert f"{path}: left out: '{key}', which hold neither numbers nor text." in caplog.messages


@pytest.mark.parametrize("key", ["cond", "behavior", "other"])
@pytest.mark.parametrize("text", [["left", "right"] * 6, np.array([b"left", b"right"] * 6)])
def test_text_in_one_split_and_numbers_in_another_are_refused(odd, counts, key, text):
    trials = {split: len(counts[f"{split}_encod_data"]) for split in ("train", "valid")}

    def change(file):
        file[f"train_{key}"] = list(text)[: trials["train"]]
        file[f"valid_{key}"] = np.arange(trials["valid"])

    path = odd(change)
    with pytest.raises(DataError) as caught:
        read_hdf5(path)
    assert str(caught.value) == f"{path}: 'train_{key}' and 'valid_{key}' must be of one sort, got text, numbers. Write them alike, or rename one."


@pytest.mark.parametrize(("train", "valid"), [(bool, float), (np.int8, np.float32), (complex, int)])
def test_numbers_of_other_types_are_of_one_sort(odd, counts, train, valid):
    def change(file):
        for split, dtype in (("train", train), ("valid", valid)):
            file[f"{split}_other"] = np.ones(len(counts[f"{split}_encod_data"]), dtype)

    session = read_hdf5(odd(change))
    assert [split.extras["other"].sum() for split in session.splits.values()] == [split.trials for split in session.splits.values()]


def test_whatever_a_library_raises_becomes_a_sentence_and_ours_stay():
    with pytest.raises(DataError, match=r"^a\.h5: 'x' must be readable, but HDF5 says: KeyError: 'gone'\. Copy or write it again\.$"), reading():
        raise KeyError("gone")
    with pytest.raises(DataError, match=r"^a\.h5: 'x' must fit into memory, got more than there is\. Cut the file, or free memory\.$"), reading():
        raise MemoryError
    with pytest.raises(LfadsError, match=r"^ours$"), reading():
        raise LfadsError("ours")


def reading():
    return spoken_reading("a.h5", "'x'")


@pytest.mark.long
@pytest.mark.parametrize("how", [{"scaleoffset": 0}, {"compression": "lzf", "shuffle": True}, {"chunks": (1, 5, 3)}, {"fletcher32": True}])
def test_outputs_hold_the_values_of_any_stored_array(how, odd, train_tiny, tmp_path, write_tiny):
    """HDF5's own copies of such objects crash the process, or hold none of the values."""
    from lfads_core.infer.loading import load
    from lfads_core.infer.run import infer_files

    path = write_tiny()
    with h5py.File(path, "r+") as file:
        values = file["train_encod_data"][()]
        del file["train_encod_data"]
        file.create_dataset("train_encod_data", data=values.astype(np.int32), **({"chunks": True} | how))
        file["train_encod_data"].attrs["unit"] = "counts"
    run = train_tiny("train.epochs=1", data=path).run
    (output,) = infer_files(load(run.path), [path], samples=None, output=tmp_path / "out.h5")
    with h5py.File(output) as file:
        assert np.array_equal(file["train_encod_data"][()], values)
        assert file["train_encod_data"].dtype == np.int32
        assert file["train_encod_data"].attrs["unit"] == "counts"


def test_outputs_hold_the_values_of_mapped_data(train_tiny, tmp_path, write_tiny):
    from lfads_core.infer.loading import load
    from lfads_core.infer.run import infer_files

    source, path = write_tiny("source.h5"), write_tiny("mapped.h5")
    with h5py.File(path, "r+") as file, h5py.File(source) as original:
        values = original["train_encod_data"][()]
        del file["train_encod_data"]
        layout = h5py.VirtualLayout(values.shape, values.dtype)
        layout[...] = h5py.VirtualSource("source.h5", "train_encod_data", values.shape)
        file.create_virtual_dataset("train_encod_data", layout)
    run = train_tiny("train.epochs=1", data=path).run
    (tmp_path / "elsewhere").mkdir()
    (output,) = infer_files(load(run.path), [path], samples=None, output=tmp_path / "elsewhere/out.h5")
    with h5py.File(output) as file:
        assert not file["train_encod_data"].is_virtual
        assert np.array_equal(file["train_encod_data"][()], values)


def test_weights_that_are_nan_are_told_by_infer(train_tiny):
    import torch

    from lfads_core.errors import NumericsError
    from lfads_core.infer.loading import load
    from lfads_core.infer.run import infer_files

    loaded = load(train_tiny("train.epochs=1").run.path)
    with torch.no_grad():
        loaded.model.get_parameter(name := next(iter(dict(loaded.model.named_parameters())))).view(-1)[0] = float("nan")
    with pytest.raises(NumericsError) as caught:
        infer_files(loaded, None, samples=2, output=None)
    assert re.fullmatch(
        rf"{re.escape(str(loaded.run.path))}: '\w+' inferred for the train trials of tiny must be finite, got NaN or infinity\. The weights of the "
        rf"checkpoint '\w+' are not: {re.escape(name)}\. Take another checkpoint \(--checkpoint\), or train again\.",
        str(caught.value),
    )


def test_a_single_number_under_the_name_of_trials_rides_with_none(write_recording, counts):
    turned = {key: values.transpose(2, 1, 0) for key, values in counts.items()}
    assert read_hdf5(write_recording("a.h5", {**counts, "train_cond": np.float32(3)})).arrays["train_cond"] == 3
    read_hdf5(write_recording("b.h5", {**turned, "train_cond": np.float32(3)}))


@pytest.mark.parametrize(("shape", "chunks"), [((), None), ((3,), None), ((3,), (2,))])
def test_texts_that_are_longer_than_the_file_are_refused_before_room_is_made_for_them(odd, shape, chunks):
    path = odd(lambda file: file.create_dataset("names", data=np.full(shape, "left", dtype=object), dtype=h5py.string_dtype(), chunks=chunks))
    assert "names" in read_hdf5(path).arrays
    content = path.read_bytes()
    with h5py.File(path) as file:
        at = file["names"].id.get_chunk_info(0).byte_offset if chunks else file["names"].id.get_offset()
    assert content[at : at + 4] == b"\4\0\0\0"  # the length of the first text
    path.write_bytes(content[:at] + b"\4\0\0\xff" + content[at + 4 :])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: 'names' must hold texts of the file, got 4\.28 GB of text in a file of \d"):
            read_hdf5(path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_many_texts_are_no_longer_than_the_file_that_holds_them(odd):
    names = np.array(["x" * (i % 90) for i in range(5000)], dtype=object)
    path = odd(lambda file: (file.create_dataset("a", data=names), file.create_dataset("b", data=names, chunks=(100,), compression="gzip")))
    assert read_hdf5(path).arrays["a"].tolist() == names.tolist() == read_hdf5(path).arrays["b"].tolist()
