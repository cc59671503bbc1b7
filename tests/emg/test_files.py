"""Files of raw EMG, of envelopes, and outputs in the units of the recording, through the command."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.hold_out import hold_out_channels
from lfads_plugins_emg.__main__ import main
from lfads_plugins_emg.envelope import prepare
from lfads_plugins_emg.envelope_settings import EnvelopeConfig


@pytest.fixture
def raw(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        for split, trials in (("train", 6), ("valid", 3)):
            file[f"{split}_raw"] = (1e-3 * rng.normal(size=(trials, 400, 4)) * [1, 2, 3, 4]).astype(np.float32)
            file[f"{split}_cond"] = np.arange(trials)
        file.attrs["fs_hz"] = 1000.0
        file.attrs["channels"] = ["a", "b", "c", "d"]
    return path


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_raw_recording_becomes_a_file_that_lfads_reads(raw, tmp_path):
    done = call("prepare", raw, "-o", tmp_path / "envelopes.h5", "--set", "bin_ms=4", "--set", "mains_hz=null")
    assert done.exit_code == 0, done.output
    session = read_hdf5(tmp_path / "envelopes.h5")
    with h5py.File(raw) as file:
        splits = [file[f"{split}_raw"][()] for split in ("train", "valid")]
    wanted, scale = prepare(splits, 1000.0, EnvelopeConfig(bin_ms=4.0, mains_hz=None))
    for split, values in zip(("train", "valid"), wanted, strict=True):
        np.testing.assert_allclose(session.splits[split].recon, values, rtol=1e-6)
        np.testing.assert_array_equal(session.splits[split].encod, session.splits[split].recon)
        assert session.splits[split].extras["cond"].tolist() == list(range(len(values)))
    assert session.bin_ms == 4.0
    assert list(session.attributes["channels"]) == ["a", "b", "c", "d"]
    assert json.loads(session.attributes["emg_preparation"])["mains_hz"] is None
    np.testing.assert_allclose(session.arrays["emg_scale"], scale.scale)


def test_outputs_come_back_in_the_units_of_the_recording_whatever_the_order_of_channels(raw, tmp_path):
    envelopes, outputs, restored = (tmp_path / f"{name}.h5" for name in ("envelopes", "outputs", "restored"))
    assert call("prepare", raw, "-o", envelopes).exit_code == 0
    session = hold_out_channels(read_hdf5(envelopes), 0.25, 0)
    order, valid = session.arrays["channel_order"], session.splits["valid"]
    with h5py.File(outputs, "w") as file:
        file.attrs.update({key: value for key, value in session.attributes.items() if key != "channels"})
        for key, value in session.arrays.items():
            if np.asarray(value).dtype.kind in "iuf":
                file[key] = value
        file["valid_recon_data"], file["valid_encod_data"] = valid.recon, valid.encod
        file["valid_output_params"], file["valid_factors"] = 2 * valid.recon, np.ones((3, 2, 2))
    done = call("restore", outputs, "-o", restored)
    assert done.exit_code == 0, done.output
    with h5py.File(restored) as file, h5py.File(envelopes) as source:
        scale = source["emg_scale"][()]
        whole = source["valid_recon_data"][()] * scale
        np.testing.assert_allclose(file["valid_recon_data"][()], whole[..., order], rtol=1e-5)
        np.testing.assert_allclose(file["valid_encod_data"][()], whole[..., order[:3]], rtol=1e-5)
        np.testing.assert_allclose(file["valid_output_params"][()], 2 * whole[..., order], rtol=1e-5)
        assert file["valid_output_params"].attrs["unit"] == "units of the raw recording"
        assert (file["valid_factors"][()] == 1).all()


def test_nothing_is_replaced_without_being_told(raw, tmp_path):
    taken = tmp_path / "taken.h5"
    taken.write_bytes(b"mine")
    done = call("prepare", raw, "-o", taken)
    assert done.exit_code == 2
    assert done.stderr == f"error: {taken}: a new file must not replace another, got one that exists. Choose another name, or use --force.\n"
    assert taken.read_bytes() == b"mine"
    assert call("prepare", raw, "-o", taken, "--force").exit_code == 0
    assert call("prepare", raw, "-o", raw, "--force").exit_code == 2


def without(path, key):
    with h5py.File(path, "a") as file:
        if key in file.attrs:
            del file.attrs[key]
        else:
            del file[key]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("fs_hz", None, "'fs_hz' must be the sampling rate in Hz, an attribute or array of one number, got None. Add it."),
        ("train_raw", None, "must hold 'train_raw' (trials, samples, channels), got train_cond, valid_cond, valid_raw. Rename the array."),
        ("train_raw", np.zeros((3, 4)), "'train_raw' must be numbers (trials, samples, channels), got float64 (3, 4). Reorder its axes."),
        ("valid_raw", np.zeros((3, 400, 2)), "'valid_raw' must have the 4 channels of 'train_raw', got 2. Keep the same ones."),
        ("valid_raw", np.full((3, 400, 4), np.nan), "raw EMG: must be finite, got 4800 NaN or infinite samples. Mend or drop these trials."),
    ],
)
def test_a_recording_that_is_not_raw_emg_is_refused_with_one_line(raw, tmp_path, key, value, text):
    without(raw, key)
    if value is not None:
        with h5py.File(raw, "a") as file:
            file[key] = value
    done = call("prepare", raw, "-o", tmp_path / "out.h5")
    assert done.exit_code == 2
    assert done.stderr == f"error: {raw}: {text}\n"
    assert not (tmp_path / "out.h5").exists()


def test_other_faults_are_told_in_one_line(raw, tmp_path):
    out = tmp_path / "out.h5"
    assert call("restore", raw, "-o", out).stderr == (
        f"error: {raw}: must hold 'emg_scale', got no such array. Prepare the recording with `python -m lfads_plugins_emg prepare`.\n"
    )
    assert call("prepare", tmp_path / "none.h5", "-o", out).stderr == (
        f"error: {tmp_path / 'none.h5'}: must be an HDF5 file, found nothing there. Check the path.\n"
    )
    wrong = call("prepare", raw, "-o", out, "--set", "bin_mss=3", "--set", "order=0")
    assert wrong.exit_code == 2
    assert "bin_ms" in wrong.stderr
    assert "order" in wrong.stderr


def test_what_rides_along_is_written_as_values_wherever_the_recording_has_it_from(raw, tmp_path):
    labels = np.array(["flexor", "extensor", "äöü", ""], dtype=h5py.string_dtype())
    with h5py.File(tmp_path / "elsewhere.h5", "w") as other:
        other["labels"] = labels
    with h5py.File(raw, "a") as file:
        file["muscles"] = h5py.ExternalLink("elsewhere.h5", "labels")
        file["trial/start"] = h5py.SoftLink("/train_cond")
        file["pointers"] = np.array([file["train_cond"].ref], dtype=h5py.ref_dtype)
        file.create_dataset("packed", data=np.arange(40).reshape(8, 5), compression="gzip", chunks=(2, 5))
    for verb, source, to in (("prepare", raw, "envelopes.h5"), ("restore", tmp_path / "envelopes.h5", "restored.h5")):
        done = call(verb, source, "-o", tmp_path / to)
        assert done.exit_code == 0, done.output
    (tmp_path / "elsewhere.h5").unlink()
    for to in ("envelopes.h5", "restored.h5"):
        with h5py.File(tmp_path / to) as file, h5py.File(raw) as source:
            assert file["muscles"].asstr()[()].tolist() == ["flexor", "extensor", "äöü", ""]
            assert file.get("trial/start", getlink=True).__class__ is h5py.HardLink
            assert np.array_equal(file["trial/start"][()], source["train_cond"][()])
            assert np.array_equal(file["packed"][()], np.arange(40).reshape(8, 5))
            assert file["packed"].compression == "gzip"
            assert "pointers" not in file


def test_samples_that_are_declared_and_were_never_written_are_not_made_up(raw, tmp_path):
    with h5py.File(raw, "a") as file:
        del file["train_raw"]
        file.create_dataset("train_raw", (10**6, 10**6, 4), np.float32, chunks=(1, 100, 4))
    done = call("prepare", raw, "-o", tmp_path / "out.h5")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {raw}: 'train_raw' ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.h5").exists()
