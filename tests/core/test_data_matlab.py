"""Files whose axes stand in reverse order, as MATLAB writes them: when that is told or fits, in memory and from disk; and MATLAB's text."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from lfads_core.data import rows as rows_module
from lfads_core.data.hdf5 import read_hdf5, size_in_memory, turned_in
from lfads_core.data.listing import axes_reversed, can_ride, from_matlab, is_matlab_text, matlab_text

REVERSE = "axes are read in reverse order, as MATLAB writes them: (trials, bins, channels) ="
AS_STORED = "axes are read in the order that is stored, though MATLAB wrote them: only so sizes fit: (trials, bins, channels) ="


def listed(shapes, told=()):
    return {key: SimpleNamespace(shape=shape, attrs={"MATLAB_class": b"double"} if key in told else {}) for key, shape in shapes.items()}


def found(shapes, told=()):
    return axes_reversed(listed(shapes, told), Path("a.h5"))


TWO = {"train_encod_data": (9, 7, 5), "valid_encod_data": (4, 7, 5)}


def turned(shapes):
    return {key: shape[::-1] for key, shape in shapes.items()}


@pytest.mark.parametrize(
    "shapes",
    [
        TWO,
        {"train_data": (9, 7, 5), "valid_data": (4, 7, 5)},
        {**TWO, "train_recon_data": (9, 8, 6), "valid_recon_data": (4, 8, 6)},
        {**TWO, "train_truth": (9, 7, 5), "valid_ext_input": (4, 6, 2)},
        {**TWO, "train_cond": (9,), "valid_cond": (4,)},
        {**TWO, "train_behavior": (9, 7), "train_odd": (3, 3)},
        {"train_encod_data": (9, 7, 5), "train_recon_data": (9, 8, 6)},
        {"train_encod_data": (9, 7, 5), "train_inds": (9, 1)},
        {"train_encod_data": (9, 7, 5), "train_inds": (1, 9)},
        {"test_encod_data": (9, 7, 5), "valid_encod_data": (4, 7, 5), "readin_weight": (5, 2), "train_scalar": ()},
    ],
)
def test_sizes_that_fit_in_one_order_only_tell_it(shapes, caplog):
    assert not found(shapes)
    assert caplog.messages == []
    back = turned(shapes)
    assert found(back)
    first = next(shapes[key] for key in ("train_encod_data", "train_data", "valid_encod_data") if key in shapes)
    assert caplog.messages == [f"a.h5: {REVERSE} {first}."]


@pytest.mark.parametrize(
    "shapes",
    [
        {"train_encod_data": (9, 7, 5)},  # fits both ways
        {"train_encod_data": (9, 7, 5), "train_cond": (3,)},  # fits neither way
        {**TWO, "valid_recon_data": (3, 7, 5)},
        {"readin_weight": (5, 2)},
        {**TWO, "train_truth": (9, 7)},
        {"train_encod_data": (9, 7)},
        {},
    ],
)
def test_sizes_that_tell_nothing_leave_the_order_as_it_is(shapes, caplog):
    assert not found(shapes)
    assert not found(turned(shapes))
    assert caplog.messages == []


def test_where_matlab_says_that_it_wrote_the_data_sizes_need_only_fit(caplog):
    one = {"train_encod_data": (5, 7, 9)}
    for key in ("train_encod_data", "train_recon_data"):
        caplog.clear()
        assert found({**one, "train_recon_data": (5, 7, 9)}, told=(key,))
        assert caplog.messages == [f"a.h5: {REVERSE} (9, 7, 5)."]
    assert found({"train_data": (5, 7, 9)}, told=("train_data",))
    assert not found({"train_encod_data": (5, 7, 9)}, told=())
    caplog.clear()
    assert not found({"train_encod_data": (5, 7, 9), "train_truth": (5, 7, 9)}, told=("train_truth",))  # somebody added it
    assert caplog.messages == []


def test_what_was_turned_before_matlab_saved_it_is_taken_as_it_stands_and_said(caplog):
    assert not found(TWO, told=TWO)
    assert caplog.messages == [f"a.h5: {AS_STORED} (9, 7, 5)."]
    caplog.clear()
    assert not found({"valid_encod_data": (4, 7), "test_recon_data": (4, 7, 5)}, told=("valid_encod_data",))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("shapes", "fits"),
    [
        ({"train_encod_data": (9, 7, 5), "valid_encod_data": (4, 7, 6)}, False),  # channels
        ({"train_encod_data": (9, 7, 5), "valid_encod_data": (4, 6, 5)}, False),  # bins
        ({**TWO, "train_recon_data": (9, 8, 6), "valid_recon_data": (4, 8, 5)}, False),
        ({**TWO, "train_recon_data": (8, 8, 6)}, False),
        ({**TWO, "train_recon_data": (9, 6, 6)}, False),  # fewer bins than are read
        ({**TWO, "train_recon_data": (9, 7, 4)}, True),  # fewer channels: another modality
        ({**TWO, "train_ext_input": (9, 3, 2), "valid_ext_input": (4, 2, 1)}, True),
        ({**TWO, "train_a": (8,), "train_b": (9, 2, 2, 2)}, True),  # one of what rides along fits
        ({**TWO, "train_ext_input": (8, 6, 2), "train_cond": (9,)}, False),
        ({**TWO, "valid_a": (9,)}, False),
        ({**TWO, "valid_a": (1, 4)}, True),
        ({**TWO, "valid_a": (2, 4)}, False),
    ],
)
def test_splits_must_agree_in_bins_and_channels_and_what_rides_along_in_trials(shapes, fits):
    """Told by MATLAB, turned sizes are taken exactly where they fit."""
    assert found(turned(shapes), told=("train_encod_data",)) is fits


B, T, N = {"train": 9, "valid": 4}, 7, 5
DATA = {split: np.random.default_rng(i).poisson(1.0, (trials, T, N)).astype("f8") for i, (split, trials) in enumerate(B.items())}


def matlab(path, *, recon=False, **layout):
    with h5py.File(path, "w") as file:
        for split, values in DATA.items():
            file.create_dataset(f"{split}_encod_data", data=np.transpose(values[:, :, :3] if recon else values), **({} if recon else layout))
            if recon:
                file.create_dataset(f"{split}_recon_data", data=np.transpose(values), **layout)
            file[f"{split}_inds"] = np.arange(B[split], dtype="f4")[None] + 10
            file[f"{split}_behavior"] = np.transpose(values[:, :, 0])
            file[f"{split}_encod_data"].attrs["MATLAB_class"] = np.bytes_("double")
    return path


LAYOUTS = [{}, {"chunks": (5, 7, 1)}, {"chunks": (2, 7, 3), "compression": "gzip"}]


@pytest.mark.parametrize("recon", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_turned_arrays_are_those_that_were_meant_in_memory_and_on_disk(tmp_path, monkeypatch, layout, recon):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 300)  # two trials
    path = matlab(tmp_path / "a.h5", recon=recon, **layout)
    whole, session = read_hdf5(path), read_hdf5(path, keep_on_disk=True)
    with h5py.File(path) as file:
        assert turned_in(file, path)
    for split, values in DATA.items():
        held, stored = whole.splits[split], session.stored[split]
        np.testing.assert_array_equal(held.recon, values)
        np.testing.assert_array_equal(held.encod, values[:, :, :3] if recon else values)
        assert held.recon.flags.c_contiguous
        assert (held.recon is held.encod) is not recon
        np.testing.assert_array_equal(held.extras["inds"], np.arange(B[split]) + 10)
        np.testing.assert_array_equal(held.extras["behavior"], values[:, :, 0])
        order = np.random.default_rng(2).permutation(B[split])
        read = stored.read(order)
        np.testing.assert_array_equal(read.recon, values[order])
        np.testing.assert_array_equal(read.encod, held.encod[order])
        assert read.recon.dtype == np.float32
    assert size_in_memory(path) == (9 + 4) * T * (N + 3 * recon) * 8


def test_a_sample_of_turned_trials_takes_what_rides_along_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("lfads_core.data.hdf5.SAMPLE_BYTES", 3 * T * N * 4)
    session = read_hdf5(matlab(tmp_path / "a.h5"), keep_on_disk=True)
    assert session.stored["train"].sample.tolist() == [0, 4, 8]
    split = session.splits["train"]
    np.testing.assert_array_equal(split.encod, DATA["train"][[0, 4, 8]])
    np.testing.assert_array_equal(split.extras["behavior"], DATA["train"][[0, 4, 8], :, 0])
    assert split.extras["inds"].tolist() == [10, 14, 18]


def test_a_turned_target_stored_twice_is_told_from_another_in_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 300)
    for trial in (None, 0, 3, 8):
        with h5py.File(matlab(tmp_path / "a.h5"), "r+") as file:
            for split, values in DATA.items():
                other = values.copy()
                if trial is not None and split == "train":
                    other[trial, 2, 4] += 1
                file.create_dataset(f"{split}_recon_data", data=np.transpose(other), chunks=(5, 7, 2))
        for on_disk in (False, True):
            session = read_hdf5(tmp_path / "a.h5", keep_on_disk=on_disk)
            split = (session.stored or session.splits)["train"]
            assert (split.recon is split.encod) == (trial is None)


CHAR, DOUBLE = np.bytes_("char"), np.bytes_("double")


def text(file, name, characters, kind=CHAR):
    item = file.create_dataset(name, data=np.array([[ord(c)] for c in characters], dtype="u2"))
    item.attrs["MATLAB_class"] = kind
    return item


@pytest.fixture
def cells(tmp_path):
    """A file with one text, an empty one, a number, a cell of texts and one of a text and a number."""
    with h5py.File(tmp_path / "m.mat", "w") as file:
        text(file, "one", "left")
        empty = text(file, "empty", "\0\0")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        text(file, "str", "right", kind="char")
        text(file, "number", "ab", kind=DOUBLE)
        lines = file.create_dataset("lines", data=np.array([[ord(c) for c in "ab"], [ord(c) for c in "cd"]], dtype="u2"))
        lines.attrs["MATLAB_class"] = CHAR
        file.create_group("group").attrs["MATLAB_class"] = CHAR
        for name, members in {"texts": ("one", "empty", "str"), "mixed": ("one", "number"), "of_groups": ("group",), "broken": ("one", None)}.items():
            references = np.empty((1, len(members)), dtype=h5py.ref_dtype)
            references[0] = [h5py.Reference() if member is None else file[member].ref for member in members]
            file.create_dataset(name, data=references, dtype=h5py.ref_dtype)
        file["plain"] = np.ones(2)
        file["words"] = np.array(["a", "b"], dtype=h5py.string_dtype())
        file["short"] = np.array([b"a"])
        file["complex"] = np.ones(2, complex)
        file["opaque"] = np.zeros(2, "V4")
    with h5py.File(tmp_path / "m.mat") as file:
        yield file


def test_matlab_s_text_is_one_or_a_cell_of_several(cells):
    one = matlab_text(cells["one"])
    assert (one.shape, one.dtype, one.item()) == ((), np.dtype(object), "left")
    assert matlab_text(cells["empty"]).item() == ""
    several = matlab_text(cells["texts"])
    assert (several.dtype, several.tolist()) == (np.dtype(object), ["left", "", "right"])
    assert matlab_text(cells["lines"]).item() == "acbd"  # down the columns


def test_what_is_text_and_what_rides_along(cells):
    kinds = {key: (is_matlab_text(item), can_ride(item)) for key, item in cells.items() if isinstance(item, h5py.Dataset)}
    assert kinds == {
        "one": (True, True),
        "empty": (True, True),
        "str": (True, True),
        "lines": (True, True),
        "number": (False, True),
        "texts": (True, True),
        "mixed": (True, False),
        "of_groups": (True, False),
        "broken": (True, False),
        "plain": (False, True),
        "words": (False, True),
        "short": (False, True),
        "complex": (False, True),
        "opaque": (False, False),
    }
    assert from_matlab(cells["number"])
    assert not from_matlab(cells["plain"])


def test_cells_of_text_ride_along_and_others_are_left_out_with_a_word(tmp_path, caplog):
    path = matlab(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        text(file, "#refs#/a", "go")
        text(file, "#refs#/b", "no", kind=DOUBLE)
        for key, members in {"train_label": "aaaaaaaaa", "valid_label": "aaaa", "mixed": "ab"}.items():
            references = np.empty((len(members), 1), dtype=h5py.ref_dtype)
            references[:, 0] = [file[f"#refs#/{member}"].ref for member in members]
            file.create_dataset(key, data=references, dtype=h5py.ref_dtype)
        text(file, "area", "M1")
        for i in range(5):
            file[f"odd{i}"] = np.zeros(2, "V4")
    with caplog.at_level(logging.WARNING):
        session = read_hdf5(path)
    assert session.splits["train"].extras["label"].tolist() == ["go"] * 9
    assert session.arrays["area"].item() == "M1"
    assert "mixed" not in session.arrays
    assert caplog.messages == [
        f"{path}: left out: 'mixed', 'odd0', 'odd1', 'odd2', 'odd3' and 1 more, which hold neither numbers nor text.",
        f"{path}: {REVERSE} (9, 7, 5).",
    ]
