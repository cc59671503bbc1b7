"""Recordings that stay on disk: which sample of trials stands for them, what rides along with it, and how targets are compared."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lfads_core.data import hdf5
from lfads_core.data import rows as rows_module
from lfads_core.data.bounds import Room
from lfads_core.data.hdf5 import read_hdf5, read_whole, size_in_memory
from lfads_core.errors import DataError

T, N = 5, 4


def trials(count, seed=0, bins=T, channels=N):
    return np.random.default_rng(seed).poisson(1.0, (count, bins, channels)).astype("f8")


def write(path, *, layout=None, **more):
    """23 + 11 trials; ``layout`` is that of data, on which ``more`` says what else there is."""
    with h5py.File(path, "w") as file:
        for split, count in (("train", 23), ("valid", 11)):
            file.create_dataset(f"{split}_encod_data", data=trials(count, count), **layout or {})
        for key, values in more.items():
            if key in file:
                del file[key]
            file.create_dataset(key, data=values, **(layout or {}) if np.ndim(values) == 3 else {})
    return path


def sample(path, split="train"):
    return read_hdf5(path, keep_on_disk=True).stored[split].sample.tolist()


def refused(call, text):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == text


def test_a_sample_takes_as_many_trials_as_fit_by_the_larger_of_input_and_target(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", valid_recon_data=trials(11, 1, 2 * T), train_recon_data=trials(23, 1, 2 * T))
    for size, wanted in (
        (2 * T * N * 4 * 3, [0, 11, 22]),
        (2 * T * N * 4 * 3 - 1, [0, 22]),
        (2 * T * N * 4 * 2 - 1, [0]),
        (1, [0]),
        (1 << 27, [*range(23)]),
    ):
        monkeypatch.setattr(hdf5, "SAMPLE_BYTES", size)
        assert sample(path) == wanted
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", T * N * 8 * 3)
    alone = write(tmp_path / "b.h5")
    assert read_hdf5(alone, keep_on_disk=True, dtype=np.float64).stored["train"].sample.tolist() == [0, 11, 22]
    assert sample(alone) == [0, 4, 9, 13, 18, 22]


def test_what_rides_along_is_sampled_and_the_rest_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 3 * T * N * 4)
    more = {
        "train_cond": np.arange(23),
        "train_odd": np.arange(22),
        "weights": np.arange(23),
        "trainer": np.arange(23),
        "valid_cond": np.arange(11) * 2,
    }
    session = read_hdf5(write(tmp_path / "a.h5", **more), keep_on_disk=True)
    train, valid = session.splits["train"], session.splits["valid"]
    assert train.extras["cond"].tolist() == [0, 11, 22]
    assert valid.extras["cond"].tolist() == [0, 10, 20]
    assert {key: len(values) for key, values in session.arrays.items()} == {"train_odd": 22, "weights": 23, "trainer": 23}
    np.testing.assert_array_equal(train.encod, trials(23, 23)[[0, 11, 22]])
    assert train.recon is train.encod
    assert session.path == tmp_path / "a.h5"


def test_a_split_that_is_no_trials_has_no_sample_and_is_refused_as_in_memory(tmp_path):
    for key, values in {"flat": np.zeros((23, 20)), "empty": np.zeros((23, 0, N))}.items():
        path = write(tmp_path / f"{key}.h5", train_encod_data=values)
        with pytest.raises(DataError) as in_memory:
            read_hdf5(path)
        refused(lambda: read_hdf5(path, keep_on_disk=True), str(in_memory.value))  # noqa: B023


def test_single_trials_bins_and_channels_are_sampled_too(tmp_path):
    path = write(tmp_path / "a.h5", train_encod_data=trials(1, 0, 1, 1), valid_encod_data=trials(3, 1, 1, 1), valid_recon_data=trials(3, 2, 1, 1))
    session = read_hdf5(path, keep_on_disk=True)
    assert [session.trials(split) for split in ("train", "valid")] == [1, 3]
    assert set(session.stored) == {"train", "valid"}


def test_the_splits_that_stay_on_disk_are_all_of_them_and_old_names_are_known(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split, count in (("train", 9), ("valid", 4), ("test", 3)):
            file[f"{split}_data"] = trials(count, count)
            file[f"{split}_ext_input"] = trials(count, 7, 3, 2)
            file[f"condition_labels_{split}"] = np.arange(count)
    session = read_hdf5(tmp_path / "a.h5", keep_on_disk=True, name="mine")
    assert session.name == "mine"
    assert {split: stored.trials for split, stored in session.stored.items()} == {"train": 9, "valid": 4, "test": 3}
    for split, count in (("train", 9), ("test", 3)):
        read = session.stored[split].read(np.array([2, 0]))
        np.testing.assert_array_equal(read.external, trials(count, 7, 3, 2)[[2, 0]])
        assert session.splits[split].extras["condition_labels"].tolist() == list(range(count))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        for split, count in (("train", 9), ("valid", 4), ("test", 3)):
            del file[f"{split}_ext_input"]
            file[f"{split}_ext_input"] = np.zeros((count, T, 0))
    assert read_hdf5(tmp_path / "a.h5", keep_on_disk=True).stored["train"].external is None


LAYOUTS = [{}, {"chunks": (1, T, N)}, {"chunks": (4, T, N), "compression": "gzip"}]


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_targets_that_are_alike_as_they_are_converted_are_one_and_a_single_other_value_tells(tmp_path, monkeypatch, layout, on_disk):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 200)
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 3 * T * N * 4)
    data = trials(23, 23) / 3
    for trial in (None, 0, 5, 22):
        target = data * (1 + 1e-12)
        if trial is not None:
            target[trial, 4, 3] += 1
        path = write(tmp_path / f"{trial}.h5", layout=layout, train_encod_data=data, train_recon_data=target, valid_recon_data=trials(11, 11))
        session = read_hdf5(path, keep_on_disk=on_disk)
        split = (session.stored or session.splits)["train"]
        assert (split.recon is split.encod) == (trial is None)
        assert split.nested
        valid = session.splits["valid"]
        assert valid.recon is valid.encod
        sampled = session.splits["train"]
        assert (sampled.recon is sampled.encod) == (trial in ((None, 5) if on_disk else (None,)))


@pytest.mark.parametrize(
    ("trials_alike", "nested"), [(range(0, 23, 2), True), (range(1, 23, 2), False), ([], False), ([22], False), (range(22), True)]
)
def test_an_input_is_part_of_the_target_where_half_of_the_values_that_tell_agree(tmp_path, monkeypatch, trials_alike, nested):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 200)
    target = np.full((23, T + 1, N), 2.0)
    data = np.full((23, T, N - 1), 3.0)
    data[list(trials_alike)] = 2.0
    more = {"valid_recon_data": np.full((11, T + 1, N), 2.0), "valid_encod_data": np.full((11, T, N - 1), 2.0)}
    path = write(tmp_path / "a.h5", train_encod_data=data, train_recon_data=target, **more)
    session = read_hdf5(path, keep_on_disk=True)
    assert session.stored["train"].nested is session.splits["train"].nested is nested
    assert read_hdf5(path).splits["train"].nested is nested
    assert session.stored["valid"].nested


def test_one_value_less_than_half_is_another_modality(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 200)
    for alike, nested in ((172, False), (173, True)):  # of 23 x 5 x 3
        data = np.full(23 * T * (N - 1), 3.0)
        data[:alike] = 2.0
        more = {f"{split}_recon_data": np.full((count, T, N), 2.0) for split, count in (("train", 23), ("valid", 11))}
        more["valid_encod_data"] = more["valid_recon_data"][:, :, 1:]
        path = write(tmp_path / f"{alike}.h5", train_encod_data=data.reshape(23, T, N - 1), **more)
        assert read_hdf5(path, keep_on_disk=True).stored["train"].nested is nested


def test_equal_shapes_of_zeros_in_one_block_are_the_same(tmp_path):
    nothing = {f"{split}_{what}_data": np.zeros((count, T, N)) for split, count in (("train", 23), ("valid", 11)) for what in ("encod", "recon")}
    stored = read_hdf5(write(tmp_path / "a.h5", **nothing), keep_on_disk=True).stored["train"]
    assert stored.recon is stored.encod
    assert stored.nested
    nothing["train_recon_data"] = np.zeros((23, T + 1, N))
    nothing["valid_recon_data"] = np.zeros((11, T + 1, N))
    assert read_hdf5(write(tmp_path / "b.h5", **nothing), keep_on_disk=True).stored["train"].nested


def blocks(path, key, dtype="f4", rows=None):
    with h5py.File(path) as file:
        source = hdf5._sources(file, path)[key]
        return list((source if rows is None else source.some(np.array(rows))).blocks(dtype))


def test_blocks_are_whole_chunks_of_the_type_that_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 5 * T * N * 4)  # five trials of single precision, two of double
    data = trials(23, 23) / 3
    for chunk, dtype, starts in (
        (None, "f4", [0, 5, 10, 15, 20]),
        (None, "f8", [*range(0, 23, 2)]),
        (2, "f4", [*range(0, 23, 4)]),
        (7, "f4", [0, 7, 14, 21]),
    ):
        for turned in (False, True):
            path = tmp_path / "a.h5"
            with h5py.File(path, "w") as file:
                values = data.T if turned else data
                chunks = None if chunk is None else ((3, T, chunk) if turned else (chunk, T, 3))
                file.create_dataset("train_encod_data", data=values, chunks=chunks)
                file["valid_encod_data"] = trials(11).T if turned else trials(11)
            found = blocks(path, "train_encod_data", dtype)
            assert [first for first, _ in found] == starts
            assert all(block.dtype == dtype for _, block in found)
            np.testing.assert_array_equal(np.concatenate([block for _, block in found]), data.astype(dtype))
            some = blocks(path, "train_encod_data", dtype, rows=[1, 4, 8, 9, 20, 22])
            assert [first for first, _ in some] == ([0, 5] if dtype == "f4" else [0, 2, 4])
            np.testing.assert_array_equal(np.concatenate([block for _, block in some]), data[[1, 4, 8, 9, 20, 22]].astype(dtype))


def test_what_cannot_be_read_is_named_in_memory_in_a_sample_and_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 2 * T * N * 4)
    path = tmp_path / "a.h5"
    with h5py.File(write(path), "r+") as file:
        for key, source in (("train_cond", "gone.h5"), ("valid_recon_data", "lost.h5")):
            shape = file["train_encod_data" if "train" in key else "valid_encod_data"].shape[: 1 if "cond" in key else 3]
            form = h5py.VirtualLayout(shape, "f8")
            form[...] = h5py.VirtualSource(source, "x", shape)
            file.create_virtual_dataset(key, form)
    text = f"{path}: 'valid_recon_data' is made of 'x' in lost.h5, but there is no such file. Restore it beside a.h5."
    refused(lambda: read_hdf5(path), f"{path}: 'train_cond' is made of 'x' in gone.h5, but there is no such file. Restore it beside a.h5.")
    with h5py.File(path) as file:
        source = hdf5._sources(file, path)["valid_recon_data"]
        for ask in (lambda: source.on_disk("f4"), lambda: source.read(None), lambda: source.some(np.array([0, 2])).read("f4")):
            refused(ask, text)


def test_a_sample_takes_its_room_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 3 * T * N * 4)
    path = write(tmp_path / "a.h5")
    room = 2 * 3 * T * N * 8  # counted in the wider of the two types
    assert read_hdf5(path, keep_on_disk=True, room=room).stored
    with pytest.raises(DataError, match=r"'valid_encod_data' must fit into memory with what is read before it, got 480 bytes \(3, 5, 4\)"):
        read_hdf5(path, keep_on_disk=True, room=room - 1)
    whole = size_in_memory(path)
    assert whole == 34 * T * N * 8
    assert read_hdf5(path, room=whole).splits
    with pytest.raises(DataError, match="'valid_encod_data' must fit"):
        read_hdf5(path, room=whole - 1)
    with h5py.File(path) as file:
        text = hdf5._sources(file, path, Room(100))["train_encod_data"]
        with pytest.raises(DataError, match=r"a\.h5: 'train_encod_data' must fit into memory with what is read before it, got 3\.68 kB"):
            text.read(None)


def test_room_is_counted_in_the_wider_of_the_stored_and_the_wanted_type(tmp_path):
    def one(name="a.h5", **more):
        return write(tmp_path / name, train_encod_data=trials(3).astype("u1"), valid_encod_data=trials(2).astype("f8"), **more)

    def fits(path, room, dtype="f4"):
        try:
            return bool(read_hdf5(path, room=room, dtype=dtype).splits)
        except DataError:
            return False

    need = (3 * 4 + 2 * 8) * T * N
    for path, room in ((one(), need), (one("b.h5", flags=np.ones(100, "u1")), need + 100)):
        assert fits(path, room)
        assert not fits(path, room - 1)
    assert fits(one(), (3 * 8 + 2 * 8) * T * N, "f8")
    assert not fits(one(), (3 * 8 + 2 * 8) * T * N - 1, "f8")


def test_rows_of_one_axis_are_taken_wherever_they_are_turned(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["train_encod_data"], file["valid_encod_data"] = trials(23).T, trials(11).T
        file["train_inds"] = np.arange(23)[None]
        file["train_names"] = np.array([f"t{i}" for i in range(23)], dtype=h5py.string_dtype())
        file["train_speed"] = np.arange(23 * T).reshape(T, 23)
        file["readin_weight"] = np.arange(8).reshape(2, 4)
    with h5py.File(path) as file:
        sources = hdf5._sources(file, path)
        some = {key: source.some(np.array([2, 20])).read(None) for key, source in sources.items() if key.startswith("train")}
        assert some["train_inds"].tolist() == [2, 20]
        assert some["train_names"].tolist() == ["t2", "t20"]
        np.testing.assert_array_equal(some["train_speed"], np.arange(23 * T).reshape(T, 23).T[[2, 20]])
        np.testing.assert_array_equal(some["train_encod_data"], trials(23)[[2, 20]])
        assert sources["train_inds"].shape == (23,)
        assert sources["readin_weight"].read("f4").tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
        assert sources["readin_weight"].read("f4").dtype == np.float32


def test_a_dataset_read_whole_is_what_a_session_in_memory_has(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["column"] = np.arange(6, dtype="i2").reshape(2, 3), np.arange(4)[None]
        file["names"] = np.array(["a", "b"], dtype=h5py.string_dtype())
    with h5py.File(path) as file:
        assert read_whole(file["x"], "x", path, turned=False).tolist() == [[0, 1, 2], [3, 4, 5]]
        assert read_whole(file["x"], "x", path, turned=True).tolist() == [[0, 3], [1, 4], [2, 5]]
        assert read_whole(file["column"], "column", path, turned=True).tolist() == [0, 1, 2, 3]
        assert read_whole(file["names"], "names", path, turned=False).tolist() == ["a", "b"]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        form = h5py.VirtualLayout((2,), "f8")
        form[...] = h5py.VirtualSource("gone.h5", "y", (2,))
        lost = file.create_virtual_dataset("x", form)
        text = f"{path}: 'mine' is made of 'y' in gone.h5, but there is no such file. Restore it beside a.h5."
        refused(lambda: read_whole(lost, "mine", path, turned=False), text)
