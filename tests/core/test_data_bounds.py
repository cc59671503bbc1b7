"""What is asked of a file before it is read: room, sizes, heaps; and how an open one tells its faults."""

from __future__ import annotations

import errno
import re
import struct
import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from lfads_core.data import bounds, hdf5, heaps, rows
from lfads_core.data.bounds import Room, refuse_unwritten, spoken_reading
from lfads_core.data.hdf5 import attributes_of, opened, opened_outputs, read_hdf5, size_in_memory
from lfads_core.data.heaps import refuse_endless_heap
from lfads_core.data.inspect import inspect_session
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.means import observed_means
from lfads_core.errors import DataError
from lfads_core.plugins.registry import Registry


def refused(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text


def test_the_library_and_what_to_do_are_named():
    with (
        pytest.raises(DataError, match=r"^a: the list must be readable, but SciPy says: OSError: gone\. Restore it\.$"),
        spoken_reading("a", "the list", by="SciPy", hint="Restore it."),
    ):
        raise OSError("gone")


def test_room_shrinks_by_what_is_taken_and_is_half_of_what_is_free_where_none_is_said(monkeypatch):
    monkeypatch.setattr(bounds, "room_for_data", lambda: 3000)
    room = Room()
    room.take("a", "x", (10, 5, 2), 8)
    room.take("a", "x", (550,), 4)
    refused(
        lambda: room.take("a", "y", (1,), 1),
        "a: y must fit into memory with what is read before it, got 1 bytes (1,) and 0 bytes left of 3 kB. "
        "Cut or delete it, or give more memory (data.memory_gb).",
    )
    room.take("a", "y", (0, 5), 8)
    with pytest.raises(DataError, match=r"and 0 bytes left of 0 bytes"):
        Room(0).take("a", "y", (), 1)


@pytest.mark.parametrize(
    ("declared", "stored", "changes", "fault"),
    [
        (1 << 28, 0, {}, True),
        ((1 << 28) - 4, 0, {}, False),
        (1 << 28, (1 << 28) // 10_000, {}, True),
        (1 << 28, (1 << 28) // 10_000 + 1, {}, False),
        (10_000 << 15, 1 << 15, {}, False),
        ((10_000 << 15) + 4, 1 << 15, {}, True),
        (1 << 28, 0, {"is_virtual": True}, False),
        (1 << 28, 0, {"external": [("x", 0, 1)]}, False),
    ],
)
def test_far_more_than_was_written_begins_at_a_ratio_of_large_arrays(declared, stored, changes, fault):
    plain = {"shape": (declared // 4,), "dtype": np.dtype("f4"), "is_virtual": False, "external": None}
    dataset = SimpleNamespace(**plain | changes, id=SimpleNamespace(get_storage_size=lambda: stored))
    if fault:
        with pytest.raises(DataError, match=re.escape(f"that its shape ({declared // 4},) declares. It was never written, or is damaged")):
            refuse_unwritten("a", "x", dataset)
    else:
        refuse_unwritten("a", "x", dataset)


HEAD = b"GCOL\x01\0\0\0"


def heap(*objects, size=None, tail=b""):
    """A heap of objects (number, length), with as many bytes after each head as its length in whole eights."""
    content = b"".join(
        struct.pack("<HHIQ", number, 1, 0, length) + bytes(min(-(-length // 8) * 8, 64) if number else 0) for number, length in objects
    )
    return HEAD + struct.pack("<Q", 16 + len(content) if size is None else size) + content + tail


@pytest.mark.parametrize(
    ("content", "at"),
    [
        (heap((1, 5), (2, 16), (0, 0)), 16 + 24 + 32),
        (heap((0, 0)), 16),
        (heap((1, 0), (0, 0)), 32),
        (heap((7, 9), (0, 32)), None),
        (heap((0, 16), (0, 0)), 32),
        (heap((1, 8)), None),
        (heap((1, 8), size=40) + bytes(16), None),
        (heap((1, 8), size=56) + bytes(16), 40),
        (heap((1, 8), size=55) + bytes(16), None),
        (heap((1, 8), size=1 << 60) + bytes(16), 40),
        (heap((1, 8), size=0) + bytes(16), None),
        (heap((3, 1 << 60)), None),
        (b"x" * 100 + heap((1, 5)) + b"yy" + heap((0, 0)), 100 + 40 + 2 + 16),
        (HEAD + b"\x40", None),
        (HEAD[:-1], None),
        (heap((256, 8), (0, 0)), 40),
    ],
)
def test_free_space_of_no_size_is_found_at_its_byte(tmp_path, content, at):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    if at is None:
        refuse_endless_heap(path)
    else:
        text = f"{path}: must be a readable HDF5 file, but its heap of texts is damaged at byte {at}. Copy or write it again."
        refused(lambda: refuse_endless_heap(path), text)


def test_a_file_that_was_mended_is_looked_at_again_and_large_ones_and_the_rest_of_large_heaps_are_not(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    path.write_bytes(heap((1, 8), (0, 0)))
    for most, whole in ((56, False), (55, True)):
        monkeypatch.setattr(heaps, "MOST", most)
        if whole:
            refuse_endless_heap(path)
        else:
            with pytest.raises(DataError):
                refuse_endless_heap(path)
    monkeypatch.setattr(heaps, "MOST", 1000)
    monkeypatch.setattr(heaps, "MOST_OF_A_HEAP", 55)
    path.write_bytes(heap((1, 8), (0, 0)) + b"x")
    refuse_endless_heap(path)
    monkeypatch.setattr(heaps, "MOST_OF_A_HEAP", 56)
    path.write_bytes(heap((1, 8), (0, 0)) + b"yy")
    with pytest.raises(DataError, match="at byte 40"):
        refuse_endless_heap(path)
    path.write_bytes(heap((1, 8), (0, 8)) + b"yy")
    refuse_endless_heap(path)


def test_a_file_with_such_a_heap_is_closed_again(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1

    def damaged(given):
        raise DataError(f"{given}: damaged")

    monkeypatch.setattr(hdf5, "refuse_endless_heap", damaged)
    refused(lambda: opened(path), f"{path}: damaged")
    with h5py.File(path, "r+"):  # h5py refuses this while the file is open for reading
        pass


@pytest.mark.parametrize(
    ("err", "text"),
    [
        (OSError("bad\nsuperblock"), "must be a readable HDF5 file, but HDF5 says: OSError: bad superblock. Copy or write it again."),
        (RuntimeError("odd"), "must be a readable HDF5 file, but HDF5 says: RuntimeError: odd. Copy or write it again."),
        (ValueError("odd"), "must be a readable HDF5 file, but HDF5 says: ValueError: odd. Copy or write it again."),
        (OSError("x truncated file: y"), "must be a whole HDF5 file, but its end is missing. Copy or write it again."),
        (OSError("file signature not found"), "must be an HDF5 file, got something else. Convert it, or install a plugin that reads it."),
        (IsADirectoryError(21, "x"), "must be an HDF5 file, got a folder. Name a file in it."),
        (PermissionError(13, "x"), "must be readable, but you have no permission. Ask its owner, or run 'chmod u+r' on it."),
        (
            BlockingIOError(11, "x"),
            (
                "must not be open for writing elsewhere, but another program holds its lock. Close the file there, "
                "or set HDF5_USE_FILE_LOCKING=FALSE if you know that nothing writes to it."
            ),
        ),
    ],
)
def test_whatever_keeps_a_file_from_being_opened_is_a_sentence(tmp_path, monkeypatch, err, text):
    path = tmp_path / "a.h5"
    path.write_bytes(b"x")

    def fails(*_args, **_options):
        raise err

    monkeypatch.setattr(h5py, "File", fails)
    refused(lambda: opened(path), f"{path}: {text}")


@pytest.mark.parametrize("err", [OSError("unable to lock file"), OSError(errno.ENOLCK, "no locks")])
def test_a_file_system_that_cannot_lock_is_read_without_a_lock(tmp_path, monkeypatch, err):
    path, real, asked = tmp_path / "a.h5", h5py.File, []
    with h5py.File(path, "w") as file:
        file["x"] = 1

    def no_locks(*args, **options):
        asked.append((args, options))
        if "locking" not in options:
            raise err
        return real(*args, **options)

    monkeypatch.setattr(h5py, "File", no_locks)
    with opened(path) as file:
        assert file.mode == "r"
    assert asked == [((path, "r"), {}), ((path, "r"), {"locking": False})]


def test_outputs_that_miss_something_are_told_how_to_make_them_again(tmp_path):
    path = tmp_path / "out.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
    with opened_outputs(path) as file:
        assert file["x"][()].tolist() == [0, 1, 2]
    with pytest.raises(DataError) as caught, opened_outputs(path) as file:
        file["y"]
    assert str(caught.value).startswith(f"{path}: an output file must be readable, but HDF5 says: KeyError: ")
    assert str(caught.value).endswith(" Make it again with `lfads infer`.")


def test_attributes_come_as_text_numbers_and_arrays(tmp_path):
    path = tmp_path / "a.h5"
    attributes = {
        "bytes": np.bytes_(b"M1\xff"),
        "text": "é",
        "int": np.int16(3),
        "float": np.float32(0.5),
        "flag": np.bool_(True),
        "array": np.arange(3, dtype="i2"),
        "fixed": np.array([[b"a", b"b\xff"]]),
        "names": np.array(["x", "é"], dtype=h5py.string_dtype()),
        "empty": h5py.Empty("f4"),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        kind = h5py.h5t.py_create(h5py.vlen_dtype(np.int8), logical=True)  # HDF5 crashes on text that a damaged byte has made this
        h5py.h5a.create(file.id, b"ragged", kind, h5py.h5s.create(h5py.h5s.SCALAR))
    with h5py.File(path) as file:
        found = attributes_of(file, path)
    assert found.pop("array").tolist() == [0, 1, 2]
    fixed, names = found.pop("fixed"), found.pop("names")
    assert (fixed.dtype, fixed.tolist()) == (np.dtype(object), [["a", "b\ufffd"]])
    assert (names.dtype, names.tolist()) == (np.dtype(object), ["x", "é"])
    assert found == {"bytes": "M1\ufffd", "text": "é", "int": 3, "float": 0.5, "flag": True}
    assert {key: type(value) for key, value in found.items()} == {"bytes": str, "text": str, "int": int, "float": float, "flag": bool}


def test_texts_that_cannot_be_decoded_are_replaced(tmp_path, counts):
    path = _written(tmp_path / "a.h5", counts)
    with h5py.File(path, "r+") as file:
        file.create_dataset("names", data=np.array([b"a\xff", b"b"], dtype=object), dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=np.array([b"a\xff", b"b"]))
    arrays = read_hdf5(path).arrays
    assert {key: (values.dtype, values.tolist()) for key, values in arrays.items()} == {
        "names": (np.dtype(object), ["a\ufffd", "b"]),
        "fixed": (np.dtype(object), ["a\ufffd", "b"]),
    }


def test_attributes_whose_list_cannot_be_read_are_told(tmp_path):
    class Broken:
        @property
        def attrs(self):
            raise RuntimeError("bad heap")

    text = f"{tmp_path}: the list of its attributes must be readable, but HDF5 says: RuntimeError: bad heap. Copy or write it again."
    refused(lambda: attributes_of(Broken(), tmp_path), text)


def test_sizes_count_what_has_trials_bins_and_channels_in_the_wider_type(tmp_path, write_recording, counts):
    more = {
        "train_behavior": np.ones((12, 5, 2), "f8"),
        "valid_movie": np.ones((10, 5, 2, 2), "u1"),
        "readin_weight": np.ones((3, 2)),
        "train_cond": np.arange(12),
    }
    path = write_recording("a.h5", {**counts, **more})
    data, behaviour, movie = (12 + 10) * 5 * 3, 12 * 5 * 2, 10 * 5 * 2 * 2
    assert size_in_memory(path) == 4 * data + 8 * behaviour + 4 * movie
    assert size_in_memory(path, np.float64) == 8 * (data + behaviour + movie)


def test_means_of_large_numbers_are_of_double_precision():
    values = np.full((3, 5, 2), 16777217.0)
    values[:, :, 1] = np.nan
    values[2, 4, 1] = 0.1
    assert observed_means(values).tolist() == [16777217.0, 0.1]
    assert observed_means(np.full((5000, 100, 2), 0.1, "f4"))[0] == pytest.approx(np.float32(0.1), rel=1e-12)


@pytest.mark.parametrize("channels", [2, 3])
def test_means_copy_some_trials_at_a_time(channels, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 1 << 14)
    values = np.ones((1000, 50, channels), "f4")
    tracemalloc.start()
    try:
        assert observed_means(values).tolist() == [1.0] * channels
        assert tracemalloc.get_traced_memory()[1] < values.nbytes / 2
    finally:
        tracemalloc.stop()


def test_what_an_inspector_finds_is_led_by_the_file(tmp_path, counts):
    from lfads_core.data.checks import Problem
    from lfads_core.plugins.hookspecs import hookimpl
    from lfads_core.plugins.specs import NoSettings, ReconstructionSpec

    class Plugin:
        @hookimpl
        def lfads_reconstructions(self):
            found = [Problem(severity="info", text="one"), Problem(severity="error", text="two", session="other")]
            yield ReconstructionSpec(name="odd", summary="x", config=NoSettings, build=lambda *_: None, inspect=lambda _: iter(found))

    registry = Registry.from_plugins({"foo": Plugin()})
    session = read_hdf5(_written(tmp_path / "a.h5", counts))
    assert inspect_session(session, "odd", registry) == [
        Problem(severity="info", text=f"{session.path}: one", session="a"),
        Problem(severity="error", text=f"{session.path}: two", session="a"),
    ]
    assert inspect_session(session_from_arrays("s", counts), "odd", registry)[0].text == "session 's': one"


def _written(path, arrays):
    with h5py.File(path, "w") as file:
        file.update(arrays)
    return path
