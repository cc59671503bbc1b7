"""HDF5 as MATLAB, links, filters and odd types make it: what is read is what was meant, or a sentence says why not."""

from __future__ import annotations

import logging
import re

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.data.hdf5 import read_hdf5
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings import read_source

B, T, N = {"train": 9, "valid": 4}, 7, 5
DATA = {split: np.random.default_rng(i).poisson(1.0, (trials, T, N)).astype(float) for i, (split, trials) in enumerate(B.items())}


def layout(path, **more):
    with h5py.File(path, "w") as file:
        for split, values in DATA.items():
            file[f"{split}_encod_data"] = values
        for key, value in more.items():
            file[key] = value
    return path


def matlab(path, *, told, more=None, splits=tuple(DATA)):
    """As MATLAB's ``save -v7.3`` or ``h5write`` leave it: the first axis of MATLAB is the last of HDF5."""
    with h5py.File(path, "w") as file:
        for key, value in {**{f"{split}_encod_data": DATA[split] for split in splits}, **(more or {})}.items():
            file[key] = np.transpose(value)
            if told:
                file[key].attrs["MATLAB_class"] = np.bytes_("double")
    return path


def same(session, splits=tuple(DATA)):
    for split in splits:
        np.testing.assert_array_equal(session.splits[split].encod, DATA[split])


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_what_matlab_wrote_is_read_in_its_order_of_axes_and_said(tmp_path, caplog, told, on_disk):
    rides = {"train_inds": np.arange(9.0)[:, None], "valid_inds": np.arange(9.0, 13)[:, None]}
    path = matlab(tmp_path / "m.h5", told=told, more=rides)
    with caplog.at_level(logging.WARNING):
        session = read_hdf5(path, keep_on_disk=on_disk)
    assert caplog.messages == [f"{path}: axes are read in reverse order, as MATLAB writes them: (trials, bins, channels) = (9, 7, 5)."]
    same(session)
    for split, rows in session.stored.items():
        np.testing.assert_array_equal(rows.read(np.array([3, 0, 1])).encod, DATA[split][[3, 0, 1]])
    assert session.splits["valid"].extras["inds"].tolist() == [9, 10, 11, 12]


def test_sizes_that_fit_both_ways_are_matlabs_only_where_it_says_so(tmp_path):
    """One split alone, or splits of as many trials, fit in either order."""
    told = read_hdf5(matlab(tmp_path / "a.h5", told=True, splits=("train",)), required=("train",))
    same(told, ("train",))
    untold = read_hdf5(matlab(tmp_path / "b.h5", told=False, splits=("train",)), required=("train",))
    assert untold.splits["train"].encod.shape == (N, T, 9)


def test_what_was_turned_before_matlab_saved_it_stays_as_it_is(tmp_path, caplog):
    """Users who know of the order permute first; then sizes fit only as they stand."""
    path = layout(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        for key in file:
            file[key].attrs["MATLAB_class"] = np.bytes_("double")
    with caplog.at_level(logging.WARNING):
        same(read_hdf5(path))
    assert caplog.messages == [
        f"{path}: axes are read in the order that is stored, though MATLAB wrote them: only so sizes fit: (trials, bins, channels) = (9, 7, 5)."
    ]


def test_matlabs_cells_of_text_ride_along(tmp_path):
    path = matlab(tmp_path / "m.mat", told=True)
    with h5py.File(path, "r+") as file:
        cells = np.empty((1, N), dtype=h5py.ref_dtype)
        for i in range(N):
            text = file.create_dataset(f"#refs#/{i}", data=np.array([[ord(c)] for c in f"unit{i}"], dtype="u2"))
            text.attrs["MATLAB_class"] = np.bytes_("char")
            cells[0, i] = text.ref
        file.create_dataset("channel_names", data=cells, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")
    assert read_hdf5(path).arrays["channel_names"].tolist() == [f"unit{i}" for i in range(N)]


def test_every_reader_of_hdf5_knows_matlabs_order(tmp_path):
    values = np.random.default_rng(0).poisson(1.0, (9, T, N)).astype(float)
    for name in ("a.h5", "a.mat"):
        with h5py.File(tmp_path / name, "w") as file:
            file["counts"] = values.transpose()
            file["counts"].attrs["MATLAB_class"] = np.bytes_("double")
        np.testing.assert_array_equal(read_source(tmp_path / name).values, values)


def test_links_of_every_kind_are_what_they_lead_to(tmp_path):
    layout(tmp_path / "spikes.h5")
    with h5py.File(tmp_path / "emg.h5", "w") as file:
        for split, trials in B.items():
            file[f"{split}_emg"] = np.full((trials, T, 2), 3.0)
    path = tmp_path / "linked.h5"
    with h5py.File(path, "w") as file:
        file["raw/train"], file["raw/valid"] = DATA["train"], DATA["valid"]
        file["train_encod_data"], file["valid/encod_data"] = h5py.SoftLink("/raw/train"), file["raw/valid"]  # soft, and a second hard one
        for split, trials in B.items():
            file[f"{split}_recon_data"] = h5py.ExternalLink("emg.h5", f"{split}_emg")
            file[f"{split}_side"] = np.arange(trials)
        file["circle"] = file["/"]
    session = read_hdf5(path)
    same(session)
    assert session.splits["train"].recon.shape == (9, T, 2)
    assert (session.splits["valid"].recon == 3).all()
    assert "raw/train" not in session.arrays


@pytest.mark.parametrize(
    ("link", "got"),
    [
        (h5py.ExternalLink("gone.h5", "emg"), "a link to 'emg' in gone.h5, which is not there"),
        (h5py.SoftLink("/gone"), "a link to '/gone', which is not there"),
    ],
)
def test_a_link_that_leads_nowhere_is_named_and_refused_only_where_it_matters(tmp_path, caplog, link, got):
    same(read_hdf5(layout(tmp_path / "a.h5", notes=link)))
    assert caplog.messages == [f"{tmp_path / 'a.h5'}: left out: 'notes' ({got})."]
    path = layout(tmp_path / "b.h5", train_recon_data=link)
    with pytest.raises(DataError) as caught:
        read_hdf5(path)
    assert str(caught.value) == f"{path}: 'train_recon_data' must lead to an array, but it is {got}. Restore what it points to, or delete the link."


def virtual(path, source):
    with h5py.File(path, "w") as file:
        for split, values in DATA.items():
            form = h5py.VirtualLayout(shape=values.shape, dtype="f8")
            form[:] = h5py.VirtualSource(source, f"{split}_encod_data", shape=values.shape)
            file.create_virtual_dataset(f"{split}_encod_data", form)
    return path


def test_an_array_made_of_a_file_that_is_gone_is_refused_not_taken_for_zeros(tmp_path):
    layout(tmp_path / "source.h5")
    path = virtual(tmp_path / "virtual.h5", "source.h5")
    same(read_hdf5(path))
    for disk in (False, True):
        lost = virtual(tmp_path / "lost.h5", "gone.h5")
        with pytest.raises(DataError) as caught:
            read_hdf5(lost, keep_on_disk=disk)
        text = f"{lost}: 'train_encod_data' is made of 'train_encod_data' in gone.h5, but there is no such file. Restore it beside lost.h5."
        assert str(caught.value) == text
    with h5py.File(tmp_path / "source.h5", "r+") as file:
        del file["valid_encod_data"]
    with pytest.raises(DataError, match=re.escape(f"'valid_encod_data' in {tmp_path / 'source.h5'}, which is not there. Restore it.")):
        read_hdf5(path)


def test_a_filter_that_is_not_there_is_named_with_what_to_install(tmp_path):
    """Blosc's number, which nothing here can decode unless hdf5plugin is installed."""
    if h5py.h5z.filter_avail(32001):
        pytest.skip("the filter is there")
    path = layout(tmp_path / "blosc.h5")
    with h5py.File(path, "r+") as file:
        del file["valid_encod_data"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, T, N))
        plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple(DATA["valid"].shape)
        dataset = h5py.h5d.create(file.id, b"valid_encod_data", h5py.h5t.NATIVE_DOUBLE, space, plist)
        for trial in range(4):
            dataset.write_direct_chunk((trial, 0, 0), b"squeezed")
    text = (
        f"{path}: 'valid_encod_data' is compressed with the filter 32001 (without a name), which HDF5 lacks here. "
        "Install it (pip install hdf5plugin), or write the file again with gzip."
    )
    for disk in (False, True):
        with pytest.raises(DataError) as caught:
            read_hdf5(path, keep_on_disk=disk)
        assert str(caught.value) == text


def test_names_and_types_that_nothing_can_be_made_of_are_left_out_with_a_word(tmp_path, caplog):
    path = layout(tmp_path / "odd.h5")
    with h5py.File(path, "r+") as file:
        h5py.h5d.create(file.id, b"caf\xe9", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))
        h5py.h5d.create(file.id, b"train_when", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((9,)))
    same(read_hdf5(path))
    (said,) = caplog.messages
    assert said.startswith(f"{path}: left out: 'caf\\\\xe9' (its name is no UTF-8), 'train_when' (")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["scaleoffset", "virtual"])
def test_outputs_hold_the_values_however_the_recording_stores_them(tmp_path, lfads, tiny_settings, kind):
    """In a process of its own: HDF5 ends the one that copies an array with the scale-offset filter, and copies a mapping without its values."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "day.h5"
    if kind == "virtual":
        layout(tmp_path / "data" / "source.hdf5_")
        virtual(path, "source.hdf5_")
    else:
        with h5py.File(path, "w") as file:
            for split, values in DATA.items():
                file.create_dataset(f"{split}_encod_data", data=values, chunks=(2, T, N), scaleoffset=2)
    sets = [part for setting in (*tiny_settings, "train.epochs=1") for part in ("--set", setting)]
    process = lfads("run", path, "--name", "run", *sets)
    said, _ = process.communicate(timeout=250)
    assert process.returncode == 0, said
    with h5py.File(tmp_path / "runs/run/lfads_output_day.h5") as file:
        for split, values in DATA.items():
            assert not file[f"{split}_encod_data"].is_virtual
            np.testing.assert_allclose(file[f"{split}_encod_data"][()], values, atol=0.01)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("scale_factor", np.array([0.1]), "scale_factor 0.1"),
        ("add_offset", 5, "add_offset 5"),
        ("_FillValue", np.array([-1], dtype="i2"), "_FillValue -1"),
        ("missing_value", 255.0, "missing_value 255"),
    ],
)
@pytest.mark.parametrize("key", ["train_encod_data", "train_behavior"])
def test_values_that_netcdf_packs_are_not_taken_as_they_stand(write_recording, counts, name, value, told, key):
    path = write_recording("a.h5", {**counts, "train_behavior": np.zeros((12, 5, 2)), "valid_behavior": np.zeros((10, 5, 2))})
    with h5py.File(path, "r+") as file:
        file[key].attrs[name] = value
    said = f"{path}: '{key}' must hold its values as they are, got some that are packed as netCDF does ({told}). "
    with pytest.raises(DataError, match=f"^{re.escape(said)}"):
        read_hdf5(path)
    done = CliRunner().invoke(cli, ["data", "check", str(path)])
    assert done.exit_code == 2
    assert said in done.output


def test_attributes_of_netcdf_that_pack_nothing_change_nothing(write_recording, counts):
    path = write_recording("a.h5", counts)
    with h5py.File(path, "r+") as file:
        file["train_encod_data"].attrs.update(
            {"_FillValue": np.array([np.nan], "f4"), "scale_factor": 1.0, "add_offset": [0], "missing_value": "none"}
        )
    np.testing.assert_array_equal(read_hdf5(path).splits["train"].recon, counts["train_encod_data"])
