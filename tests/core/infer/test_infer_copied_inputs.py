"""What outputs take over from a recording on disk: values as the model takes them, and whatever need not change as it is stored."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from lfads_core.data.hdf5 import opened, read_hdf5
from lfads_core.data.hold_out import hold_out_channels, rearranged
from lfads_core.errors import DataError
from lfads_core.infer import copied_inputs
from lfads_core.infer.copied_inputs import copy_inputs, write_as_stored

SIZES = {"train": 9, "valid": 6}
BINS, CHANNELS = 7, 4


@pytest.fixture(autouse=True)
def _few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr("lfads_core.data.rows.BLOCK_BYTES", 2 * BINS * CHANNELS * 4)


def counts(split: str) -> np.ndarray:
    return np.random.default_rng(SIZES[split]).poisson(2.0, (SIZES[split], BINS, CHANNELS)).astype("i2")


@pytest.fixture
def copied(tmp_path):
    """Write arrays to a recording, leave it on disk, change the session, and return what is copied of it with its types."""

    def copy(arrays, change=lambda session: session):
        path = tmp_path / "recording.h5"
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                file[key] = value
        session = change(read_hdf5(path, keep_on_disk=True))
        with opened(path) as source, h5py.File(tmp_path / "out.h5", "w") as file:
            copy_inputs(file, session, source)
            return {key: value.asstr()[()] if value.dtype.kind == "O" else value[()] for key, value in file.items()}

    return copy


def of_splits(**arrays):
    """Each function's array of a split's number of trials, under the split's name."""
    return {f"{split}_{key}": make(split) for split in SIZES for key, make in arrays.items()}


def equal(found, expected):
    """Values and types, and nothing else."""
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def speed(split):
    return np.random.default_rng(1).normal(size=(SIZES[split], BINS))


def video(split):
    return np.random.default_rng(2).normal(size=(SIZES[split], 3, CHANNELS)).astype("f4")


def label(split):
    return np.array([f"{split} {i}" for i in range(SIZES[split])], dtype=object)


def test_everything_with_a_row_per_trial_is_taken_over_as_it_is_stored(copied):
    arrays = of_splits(
        encod_data=lambda split: counts(split)[:, :5, :3], recon_data=counts, ext_input=lambda split: video(split)[:, :, :2],
        truth=lambda split: counts(split) + 0.5, speed=speed, label=label, trial_id=lambda split: np.arange(SIZES[split], dtype="u1"),
    )  # fmt: skip
    equal(copied({**arrays, "readout_bias": np.ones(CHANNELS), "notes": "none"}), arrays)


def test_a_target_that_is_not_in_the_file_is_written_with_the_type_that_the_model_takes(copied):
    found = copied(of_splits(encod_data=counts, speed=speed))
    equal(found, of_splits(encod_data=counts, recon_data=lambda split: counts(split).astype("f4"), speed=speed))


def test_groups_of_splits_are_spelt_as_prefixes(copied):
    arrays = of_splits(encod_data=counts, label=label, truth=lambda split: counts(split) * 0.5)
    found = copied({key.replace("_", "/", 1): value for key, value in arrays.items()})
    equal(found, {**arrays, **of_splits(recon_data=lambda split: counts(split).astype("f4"))})


def test_channels_in_another_order_are_written_in_it_and_what_else_rides_along_is_not_touched(copied):
    order = np.array([2, 0, 3, 1])
    arrays = of_splits(encod_data=counts, truth=lambda split: counts(split) + 0.5, smoothed=video, video=video, speed=speed, label=label)
    arrays |= of_splits(smoothed=lambda split: video(split)[:, :, :3])  # of other channels than the data
    found = copied(arrays, lambda session: rearranged(session, order, 3))
    moved = of_splits(
        encod_data=lambda split: counts(split)[:, :, order[:3]].astype("f4"),
        recon_data=lambda split: counts(split)[:, :, order].astype("f4"),
        truth=lambda split: (counts(split) + 0.5)[:, :, order],
    )
    equal(found, {**arrays, **moved})


def test_channels_left_out_at_the_end_are_left_out(copied):
    arrays = of_splits(encod_data=counts, recon_data=counts, truth=lambda split: counts(split) + 0.5)
    found = copied(arrays, lambda session: rearranged(session, np.arange(3), 2))
    data = of_splits(encod_data=lambda split: counts(split)[:, :, :2].astype("f4"), recon_data=lambda split: counts(split)[:, :, :3].astype("f4"))
    equal(found, {**arrays, **data})


def test_an_order_that_the_file_has_itself_is_counted_from(copied):
    own = np.array([[3, 0, 1, 2]])  # channel 3 of the recording stands first
    arrays = of_splits(encod_data=counts, truth=lambda split: counts(split) * 2.0)
    as_it_is = {**arrays, **of_splits(recon_data=lambda split: counts(split).astype("f4"))}
    equal(copied({**arrays, "channel_order": own[0]}), as_it_is)
    turned = np.array([1, 3, 2, 0])
    equal(
        copied({**arrays, "channel_order": own}, lambda session: rearranged(session, turned, CHANNELS)),
        of_splits(
            encod_data=lambda split: counts(split)[:, :, turned].astype("f4"),
            recon_data=lambda split: counts(split)[:, :, turned].astype("f4"),
            truth=lambda split: (counts(split) * 2.0)[:, :, turned],
        ),
    )


@pytest.mark.parametrize("factor", [0.5, [0.5, 2.0, 4.0, 8.0]], ids=["one number", "one of each channel"])
@pytest.mark.parametrize("fraction", [0.0, 0.5], ids=["as stored", "held out"])
def test_true_rates_in_units_of_their_own_are_written_per_bin(copied, factor, fraction):
    stored = of_splits(encod_data=counts, truth=lambda split: (counts(split) * factor).astype("f4"), speed=speed, smoothed=video)
    found = copied({**stored, "conversion_factor": factor}, lambda session: hold_out_channels(session, fraction, 3))
    order = np.arange(CHANNELS)
    if fraction:
        permuted = np.random.RandomState(3).permutation(CHANNELS)
        order = np.concatenate([np.sort(permuted[2:]), np.sort(permuted[:2])])
    for split in SIZES:
        assert found[f"{split}_truth"].dtype == np.float32
        np.testing.assert_allclose(found[f"{split}_truth"], counts(split)[:, :, order], rtol=1e-6)
        np.testing.assert_array_equal(found[f"{split}_smoothed"], video(split)[:, :, order])
        np.testing.assert_array_equal(found[f"{split}_speed"], speed(split))


@pytest.mark.parametrize("factor", [None, 0.5, [[0.5, 2.0, 4.0, 8.0]], [[0.5], [2.0], [4.0], [8.0]]])
def test_axes_that_matlab_has_turned_are_turned_back(copied, factor, caplog, tmp_path):
    """Sizes fit only this way; a factor of each channel is a row or a column there."""
    plain = of_splits(
        encod_data=lambda split: counts(split).astype("f4"), recon_data=lambda split: counts(split)[:, :, ::-1].astype("f4"),
        ext_input=lambda split: video(split)[:, :, :2].repeat(3, axis=1)[:, :BINS], speed=speed,
        smoothed=lambda split: counts(split) + 0.25, video=video,
    )  # fmt: skip
    truth = of_splits(truth=lambda split: counts(split) * (1.0 if factor is None else np.ravel(factor)))
    more = {} if factor is None else {"conversion_factor": factor}
    stored = {key: value.T for key, value in {**plain, **truth}.items()}
    equal(copied({**stored, **more}), {**plain, **of_splits(truth=lambda split: counts(split) * 1.0)})
    assert caplog.messages
    assert all(text.startswith(f"{tmp_path / 'recording.h5'}: axes are read in reverse order") for text in caplog.messages)
    if factor is None:
        order = np.array([1, 3, 2, 0])
        found = copied(stored, lambda session: rearranged(session, order, CHANNELS))
        others = {"ext_input", "speed", "video"}
        moved = {key: value[:, :, order] for key, value in {**plain, **truth}.items() if key.partition("_")[2] not in others}
        equal(found, {**plain, **moved})


def test_a_factor_that_is_no_number_is_told_with_the_recording(copied, tmp_path):
    arrays = of_splits(encod_data=counts, truth=lambda split: counts(split) * 1.0)

    def spoil(session):
        with h5py.File(tmp_path / "recording.h5", "r+") as file:
            file["conversion_factor"] = np.nan
        return session

    text = f"{tmp_path / 'recording.h5'}: 'conversion_factor' must be one finite number other than 0, or one for each channel, got"
    with pytest.raises(DataError, match=re.escape(text)):
        copied(arrays, spoil)


@pytest.mark.parametrize("key", ["valid_encod_data", "valid_speed"])
def test_what_cannot_be_copied_is_told_with_the_recording(copied, tmp_path, key):
    path = tmp_path / "recording.h5"

    def spoil(session):
        with h5py.File(path, "r+") as file:
            h5py.h5a.create(file[key].id, b"\xff", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))
        return session

    with pytest.raises(DataError, match=re.escape(f"{path}: the name of an attribute must be UTF-8, got b'\\xff'.")):
        copied(of_splits(encod_data=counts, speed=speed), spoil)


STORAGE = {
    "one block": {},
    "gzip": {"chunks": (2, 5, 4), "compression": "gzip", "compression_opts": 7, "shuffle": True},
    "lzf": {"chunks": (4, 7, 2), "compression": "lzf"},
    "plain chunks": {"chunks": (3, 7, 4)},
}


@pytest.fixture
def rewritten(tmp_path):
    """Store values with options, write them as they are stored under another name, and look at the copy."""

    def rewrite(look, options, about=None, **attributes):
        with h5py.File(tmp_path / "a.h5", "w") as source, h5py.File(tmp_path / "b.h5", "w") as file:
            stored = source.create_dataset("x", **options)
            stored.attrs.update(attributes)
            if about is not None:
                about(stored)
            write_as_stored(file, "copy", stored, tmp_path / "a.h5")
            assert list(file) == ["copy"]
            return look(file["copy"])

    return rewrite


@pytest.mark.parametrize("layout", STORAGE.values(), ids=STORAGE)
def test_an_array_keeps_its_type_its_layout_and_its_compression(rewritten, monkeypatch, layout):
    blocks = []
    real = copied_inputs.row_blocks
    monkeypatch.setattr(copied_inputs, "row_blocks", lambda *given: (blocks.append(rows) or rows for rows in real(*given)))
    monkeypatch.setattr("lfads_core.data.rows.BLOCK_BYTES", 1)
    values = counts("train").astype(">i4")

    def kept(new):
        return new.chunks, new.compression, new.compression_opts, new.shuffle, new.dtype, new[()].tolist()

    whole = ("gzip", 7) if "compression_opts" in layout else (layout.get("compression"), None)
    expected = (layout.get("chunks"), *whole, layout.get("shuffle", False), values.dtype, values.tolist())
    assert rewritten(kept, {"data": values, **layout}) == expected
    step = layout.get("chunks", (1,))[0]  # no chunk is decoded twice
    assert [(rows.start, rows.stop) for rows in blocks] == [(first, min(first + step, 9)) for first in range(0, 9, step)]


def test_single_values_and_texts_are_written_too(rewritten):
    assert rewritten(lambda new: (new.shape, new[()]), {"data": 3.5}) == ((), 3.5)
    assert rewritten(lambda new: new.asstr()[()].tolist(), {"data": ["one", "zwölf"]}) == ["one", "zwölf"]
    assert rewritten(lambda new: new.asstr()[()], {"data": "a note"}) == "a note"
    odd = np.array([b"\xff odd"], dtype=object)
    assert rewritten(lambda new: new.asstr()[()].tolist(), {"data": odd, "dtype": h5py.string_dtype()}) == ["\N{REPLACEMENT CHARACTER} odd"]


def test_attributes_go_along_but_for_what_refers_to_other_arrays(rewritten):
    def about(stored):
        stored.attrs["axis"] = stored.ref
        stored.attrs.create("axes", [stored.ref, stored.ref], dtype=h5py.ref_dtype)

    plain = {"unit": "spikes", "bins": 7, "width": 2.5, "seen": True, "edges": np.array([1.5, 2.5]), "rows": np.array([1, 2], dtype="u2")}
    found = rewritten(lambda new: dict(new.attrs), {"data": counts("valid")}, about, **plain)
    assert set(found) == set(plain)
    for key, value in plain.items():
        np.testing.assert_array_equal(found[key], value)


def test_values_that_cannot_be_read_are_told_with_the_recording(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        place = file.create_dataset("x", data=counts("train"), chunks=(3, BINS, CHANNELS), fletcher32=True).id.get_chunk_info(1).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\x7f" * 8)
    with (
        h5py.File(path) as source,
        h5py.File(tmp_path / "b.h5", "w") as file,
        pytest.raises(DataError, match=re.escape(f"{path}: '/x' must be readable, but HDF5 says:")),
    ):
        write_as_stored(file, "copy", source["x"], path)


def test_attributes_that_cannot_be_read_are_told_with_the_recording(rewritten, tmp_path):
    def name_oddly(stored):
        h5py.h5a.create(stored.id, b"\xff", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))

    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'a.h5'}: the name of an attribute must be UTF-8, got b'\\xff'.")):
        rewritten(lambda _: None, {"data": counts("valid")}, name_oddly)


@pytest.mark.parametrize("shape", [(1, -1), (-1, 1), (-1,)], ids=["row", "column", "one axis"])
def test_what_matlab_has_one_of_for_each_trial_comes_out_as_it_is_in_memory(copied, shape, tmp_path):
    """Numbers and text, as rows, columns or one axis."""
    arrays = of_splits(
        encod_data=lambda split: counts(split).T,
        trial_id=lambda split: np.arange(SIZES[split], dtype="u2").reshape(shape),
        label=lambda split: label(split).reshape(shape),
    )
    found = copied(arrays)
    whole = read_hdf5(tmp_path / "recording.h5")
    for split, size in SIZES.items():
        for key in ("trial_id", "label"):
            np.testing.assert_array_equal(found[f"{split}_{key}"], whole.splits[split].extras[key])
            assert found[f"{split}_{key}"].shape == (size,)
        assert found[f"{split}_trial_id"].dtype == np.uint16


@pytest.mark.parametrize("turned", [True, False])
def test_a_cell_of_texts_comes_out_as_texts(turned, tmp_path):
    path = tmp_path / "cells.h5"
    with h5py.File(path, "w") as file:
        for split, size in SIZES.items():
            file[f"{split}_encod_data"] = counts(split).T if turned else counts(split)
            cells = file.create_dataset(f"{split}_kind", (1, size) if turned else (size,), h5py.ref_dtype)
            for i in range(size):
                text = file.create_dataset(f"#refs#/{split}{i}", data=np.array([[ord(c)] for c in f"{split} no. {i}"], "u2"))
                text.attrs["MATLAB_class"] = np.bytes_("char")
                cells[(0, i) if turned else i] = text.ref
    session = read_hdf5(path, keep_on_disk=True)
    with opened(path) as source, h5py.File(tmp_path / "out.h5", "w") as file:
        copy_inputs(file, session, source)
        for split, size in SIZES.items():
            assert file[f"{split}_kind"].asstr()[()].tolist() == [f"{split} no. {i}" for i in range(size)]
