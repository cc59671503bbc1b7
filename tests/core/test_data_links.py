"""What an HDF5 file lists: links of every kind, arrays made of other files, filters; and what cannot be reached."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from lfads_core.data import listing
from lfads_core.data.bounds import Room
from lfads_core.data.hdf5 import names_in, read_hdf5, size_in_memory, turned_in
from lfads_core.data.listing import datasets_of, require_readable, values_of
from lfads_core.errors import DataError


def made(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file[key] = values
    return path


def listed(path):
    with h5py.File(path) as file:
        return list(datasets_of(file, path))


def refused(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text


def test_arrays_are_found_under_every_group_in_the_order_of_the_file(tmp_path, caplog):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["b/deep/x"], file["b/y"], file["a"] = np.ones(2), 3.0, "text"
        file["#refs#/0"], file["c/#refs#/z"] = np.ones(1), np.ones(1)  # where MATLAB keeps what cells refer to: at the top only
        file["nothing"] = h5py.Empty("f4")
        file["a_type"] = np.dtype("f4")
    assert listed(tmp_path / "a.h5") == ["a", "b/deep/x", "b/y", "c/#refs#/z"]
    assert caplog.messages == []


def test_a_link_to_a_group_above_is_followed_once_and_one_beside_it_again(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one/two/x"] = np.ones(2)
        file["one/two/up"] = h5py.SoftLink("/one")
        file["top"] = file["/"]
        file["side"] = file["one/two"]
        file["three/x"] = np.ones(2)
        file["three/two"] = file["one/two"]
    assert listed(tmp_path / "a.h5") == ["one/two/x", "side/x", "three/two/x", "three/x"]


def test_arrays_and_groups_are_counted_up_to_a_bound(tmp_path, monkeypatch):
    path = made(tmp_path / "a.h5", **{"g/x": np.ones(1), "g/y": np.ones(1), "z": np.ones(1)})
    monkeypatch.setattr(listing, "MOST", 4)
    assert listed(path) == ["g/x", "g/y", "z"]
    monkeypatch.setattr(listing, "MOST", 3)
    refused(lambda: listed(path), f"{path}: must list at most 3 arrays and groups, got more. Are its links a circle? Delete them.")


@pytest.mark.parametrize(
    ("link", "got"),
    [
        (h5py.ExternalLink("gone.h5", "emg"), "a link to 'emg' in gone.h5, which is not there"),
        (h5py.ExternalLink("there.h5", "emg"), "a link to 'emg' in there.h5, which is not there"),
        (h5py.SoftLink("/gone"), "a link to '/gone', which is not there"),
    ],
)
def test_a_link_that_leads_nowhere_is_an_error_for_a_split_and_a_word_for_the_rest(tmp_path, caplog, link, got):
    made(tmp_path / "there.h5", x=np.ones(1))
    for key in ("train_encod_data", "valid/recon_data", "test_other"):
        path = made(tmp_path / "a.h5", **{key: link})
        refused(lambda: listed(path), f"{path}: '{key}' must lead to an array, but it is {got}. Restore what it points to, or delete the link.")  # noqa: B023
    path = made(tmp_path / "b.h5", **{"notes": link, "deep/trainer": link, "x": np.ones(1), "train": link})
    assert listed(path) == ["x"]
    assert caplog.messages == [f"{path}: left out: 'deep/trainer' ({got}), 'notes' ({got}), 'train' ({got})."]


def test_only_the_first_few_that_are_left_out_are_named(tmp_path, caplog):
    path = made(tmp_path / "a.h5", **{f"n{i}": h5py.SoftLink("/gone") for i in range(7)})
    assert listed(path) == []
    (said,) = caplog.messages
    assert said.endswith("'n4' (a link to '/gone', which is not there) and 2 more.")


def test_an_object_that_is_damaged_is_no_link_and_told_with_what_hdf5_says(tmp_path, caplog):
    path = made(tmp_path / "a.h5", x=np.ones(2), other=np.ones(3), train_x=np.ones(4))
    with h5py.File(path) as file:
        places = {key: h5py.h5o.get_info(file[key].id).addr for key in file}
    whole = path.read_bytes()

    def damage(key):
        at = places[key]
        path.write_bytes(whole[:at] + b"\xff" * 16 + whole[at + 16 :])

    damage("other")
    assert listed(path) == ["train_x", "x"]
    (said,) = caplog.messages
    assert said.startswith(f"{path}: left out: 'other' (not readable (")
    assert "unable to" in said.lower()
    damage("train_x")
    with pytest.raises(DataError) as caught:
        listed(path)
    assert str(caught.value).startswith(f"{path}: 'train_x' must lead to an array, but it is not readable (")


def test_a_list_or_a_size_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    with pytest.raises(DataError) as caught:
        datasets_of(SimpleNamespace(id=None), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: the list of its arrays must be readable, but HDF5 says: ")

    def broken(*_):
        raise RuntimeError("bad size")

    path = made(tmp_path / "a.h5", x=np.ones(2))
    monkeypatch.setattr(listing, "refuse_unwritten", broken)
    refused(lambda: listed(path), f"{path}: 'x' must be readable, but HDF5 says: RuntimeError: bad size. Copy or write it again.")


def test_names_that_are_no_utf_8_are_told_with_escapes(tmp_path, caplog):
    path = made(tmp_path / "a.h5", x=np.ones(1))
    with h5py.File(path, "r+") as file:
        h5py.h5d.create(file.id, b"caf\xe9", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))
        h5py.h5d.create(file.id, "d\u00e9but".encode(), h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,)))
    assert listed(path) == ["x"]
    (said,) = caplog.messages
    assert said == f"{path}: left out: 'caf\\\\xe9' (its name is no UTF-8), 'd\\xe9but' (No NumPy equivalent for TypeTimeID exists)."


def mapped(path, source, *, name="x", dset="x"):
    with h5py.File(path, "a") as file:
        form = h5py.VirtualLayout(shape=(3,), dtype="f8")
        form[:] = h5py.VirtualSource(source, dset, shape=(3,))
        file.create_virtual_dataset(name, form)
    return path


def patterned(path, source, dset):
    """As many blocks of (1, 3) as there are files or arrays whose names fit."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space, block = h5py.h5s.create_simple((2, 3), (h5py.h5s.UNLIMITED, 3)), h5py.h5s.create_simple((1, 3))
    space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (1, 1), (1, 3))
    plist.set_virtual(space, source, dset, block)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((2, 3), (h5py.h5s.UNLIMITED, 3)), plist)
    return path


def required(path, key="x"):
    with h5py.File(path) as file:
        require_readable(file[key], key, path)


def test_files_that_an_array_is_made_of_are_looked_for_beside_it_and_from_here(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made(tmp_path / "there" / "beside.h5", x=np.ones(3))
    made(tmp_path / "here" / "here.h5", x=np.ones(3))
    for source in ("beside.h5", "here.h5", str(tmp_path / "here" / "here.h5")):
        required(mapped(tmp_path / "there" / f"of_{Path(source).name}", source))
        (tmp_path / "there" / f"of_{Path(source).name}").unlink()
    lost = mapped(tmp_path / "there" / "lost.h5", "gone.h5")
    refused(lambda: required(lost), f"{lost}: 'x' is made of 'x' in gone.h5, but there is no such file. Restore it beside lost.h5.")
    (tmp_path / "there" / "gone.h5").mkdir()
    with pytest.raises(DataError, match="there is no such file"):
        required(lost)


def test_an_array_may_be_made_of_its_own_file_and_patterns_are_left_to_hdf5(tmp_path):
    path = made(tmp_path / "own.h5", y=np.ones(3))
    required(mapped(path, ".", dset="y"))
    required(patterned(tmp_path / "of_files.h5", b"gone-%b.h5", b"x"))
    required(patterned(tmp_path / "of_sets.h5", b"gone.h5", b"x-%b"))
    lost = mapped(patterned(tmp_path / "both.h5", b"gone-%b.h5", b"x"), "gone.h5", name="y")
    with pytest.raises(DataError, match=r"'y' is made of 'x' in gone\.h5"):
        required(lost, "y")


def test_a_source_without_the_array_or_that_is_no_hdf5_is_named(tmp_path):
    source = made(tmp_path / "source.h5", y=np.ones(3))
    path = mapped(tmp_path / "a.h5", "source.h5")
    refused(lambda: required(path), f"{path}: 'x' is made of 'x' in {source}, which is not there. Restore it.")
    source.write_bytes(b"not HDF5")
    with pytest.raises(DataError) as caught:
        required(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: 'x' is made of {source}, which must be readable, got: ")
    assert text.endswith(". Restore it.")


def test_sources_are_opened_for_reading_only(tmp_path):
    source = made(tmp_path / "source.h5", x=np.ones(3))
    path = mapped(tmp_path / "a.h5", "source.h5")
    before = source.read_bytes(), source.stat().st_mtime_ns
    with h5py.File(source):  # a second reader may look at the same time
        required(path)
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before


def filtered(path, *numbers, name=b"x"):
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 3))
        for number in numbers:
            plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (4,))
        h5py.h5d.create(file.id, name, h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((4, 3)), plist)
    return path


def test_filters_that_are_not_there_are_named_by_their_numbers(tmp_path):
    path = filtered(tmp_path / "a.h5", h5py.h5z.FILTER_SHUFFLE, 41999, h5py.h5z.FILTER_DEFLATE, 42000)
    refused(
        lambda: required(path),
        f"{path}: 'x' is compressed with the filter 41999 (without a name) and the filter 42000 (without a name), which HDF5 lacks here. "
        "Install it (pip install hdf5plugin), or write the file again with gzip.",
    )
    required(filtered(tmp_path / "b.h5", h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE))


def test_a_filter_that_says_its_name_is_told_by_it(monkeypatch, tmp_path):
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: number != h5py.h5z.FILTER_DEFLATE)
    path = filtered(tmp_path / "a.h5", h5py.h5z.FILTER_DEFLATE)
    with pytest.raises(DataError, match=r"'x' is compressed with the filter 1 \(deflate\), which HDF5 lacks here\."):
        required(path)


def test_a_filter_s_name_that_is_no_utf_8_is_told_as_far_as_it_goes(tmp_path):
    plist = SimpleNamespace(get_nfilters=lambda: 1, get_filter=lambda _: (41999, 0, (), b"caf\xe9"))
    dataset = SimpleNamespace(is_virtual=False, id=SimpleNamespace(get_create_plist=lambda: plist))
    with pytest.raises(DataError, match="'x' is compressed with the filter 41999 \\(caf\ufffd\\), which"):
        require_readable(dataset, "x", tmp_path)


def test_values_are_counted_before_they_are_read_and_text_is_text(tmp_path):
    path = made(tmp_path / "a.h5", names=np.array(["é", "b"], dtype=object), x=np.arange(6, dtype="i2").reshape(2, 3))
    with h5py.File(path) as file:
        assert values_of(file["names"], "names", path, Room(1000)).tolist() == ["é", "b"]
        values = values_of(file["x"], "x", path, Room(12))
        assert (values.dtype, values.tolist()) == (np.int16, [[0, 1, 2], [3, 4, 5]])
        refused(
            lambda: values_of(file["x"], "x", path, Room(11)),
            f"{path}: 'x' must fit into memory with what is read before it, got 12 bytes (2, 3) and 11 bytes left of 11 bytes. "
            "Cut or delete it, or give more memory (data.memory_gb).",
        )


def test_text_that_cannot_be_decoded_is_replaced_and_what_is_missing_is_told_first(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("names", data=np.array([b"\xff!", b"b"], dtype=object), dtype=h5py.string_dtype())
    with h5py.File(path) as file:
        assert values_of(file["names"], "names", path, Room(1000)).tolist() == ["\ufffd!", "b"]
    lost = mapped(tmp_path / "lost.h5", "gone.h5")
    with h5py.File(lost) as file, pytest.raises(DataError, match=r"^.*lost\.h5: 'y' is made of 'x' in gone\.h5, but there is no such file"):
        values_of(file["x"], "y", lost, Room(1000))


def test_values_that_are_damaged_are_told_by_their_name(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100), chunks=True, compression="gzip")
        chunk = file["x"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with h5py.File(path) as file, pytest.raises(DataError, match=r"a\.h5: 'mine' must be readable, but HDF5 says: "):
        values_of(file["x"], "mine", path, Room(1000))


def test_where_each_array_stands_is_told_by_its_present_name(tmp_path):
    path = made(tmp_path / "a.h5", **{"train_data": np.ones((4, 5, 3)), "valid/encod_data": np.ones((2, 5, 3)), "alignment_bias_c": np.ones(3)})
    with h5py.File(path) as file:
        names = names_in(file, path)
        assert names == {"train_encod_data": "train_data", "valid_encod_data": "valid/encod_data", "readout_bias": "alignment_bias_c"}
        assert not turned_in(file, path)
    lost = made(tmp_path / "b.h5", train_x=h5py.SoftLink("/gone"))
    for ask in (names_in, turned_in):
        with h5py.File(lost) as file, pytest.raises(DataError, match=r"b\.h5: 'train_x' must lead to an array"):
            ask(file, lost)
    with pytest.raises(DataError, match=r"b\.h5: 'train_x' must lead to an array"):
        size_in_memory(lost)


def test_another_name_of_a_split_s_array_is_not_read_twice(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw/x"] = np.ones((4, 5, 3))
        file["train_encod_data"], file["valid/encod_data"], file["same"] = file["raw/x"], file["raw/x"], file["raw/x"]
        file["valid/cond"] = np.arange(4)
        file["valid_cond"] = np.arange(4) + 10
        file["session/depth"] = np.ones(3)
        for name, at in (("raw/y", "train_hand_speed"), ("raw/z", "valid/speed"), ("raw/w", "train/deep/place")):
            file[name] = np.arange(4)
            file[at] = file[name]
    session = read_hdf5(tmp_path / "a.h5")
    assert set(session.arrays) == {"session/depth"}
    assert set(session.splits["train"].extras) == {"hand_speed", "deep/place"}
    assert set(session.splits["valid"].extras) == {"speed", "cond"}
    assert session.splits["valid"].extras["cond"].tolist() == [10, 11, 12, 13]  # spelt without the group it wins
