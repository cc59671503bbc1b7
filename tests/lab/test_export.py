"""Exports: the recording's order, averages by condition, MATLAB's format as scipy reads it, parameters by name."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import loadmat

import lfads_core
from lfads_core.cli.main import cli
from lfads_core.errors import DataError, RunError
from lfads_plugins_lab.export import matlab
from lfads_plugins_lab.export.matlab import matlab_name, write_mat
from lfads_plugins_lab.export.trials import average_conditions, concatenated, merge_splits

ORDER = np.random.default_rng(0).permutation(18)


@pytest.fixture
def run(train_tiny, write_tiny):
    """A run on a recording that says where its trials stood, and in which of three conditions."""
    condition = np.arange(18) % 3
    more = {f"{split}_inds": rows for split, rows in (("train", ORDER[:12]), ("valid", ORDER[12:]))}
    more |= {f"{split}_cond": condition[rows] for split, rows in (("train", ORDER[:12]), ("valid", ORDER[12:]))}
    return train_tiny("train.epochs=1", data=write_tiny(**more)).run


def export(run, *arguments):
    done = CliRunner().invoke(cli, ["export", str(run.path), *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_one_file_has_all_trials_in_the_order_of_the_recording_with_averages_and_one_sequence(run, tmp_path):
    assert export(run, "--h5", tmp_path / "all.h5") == f"wrote {tmp_path / 'all.h5'}\n"
    outputs = lfads_core.load(run.path).outputs()
    with h5py.File(tmp_path / "all.h5") as file:
        session = file["tiny"]
        assert np.array_equal(session["trial"][()], np.arange(18))
        assert session["split"].asstr()[()].tolist() == ["train" if i in set(ORDER[:12]) else "valid" for i in range(18)]
        rates = session["trials/rates_hz"]
        for split in ("train", "valid"):
            for row, trial in enumerate(outputs[f"{split}_inds"]):
                assert np.array_equal(rates[trial], outputs[f"{split}_rates_hz"][row])
        assert rates.attrs["unit"] == "events/s"
        assert np.array_equal(session["time_ms"][()], np.arange(8) * 10.0)
        assert np.array_equal(session["concatenated/factors"][()], np.concatenate(list(session["trials/factors"][()])))
        assert session["conditions/labels"][()].tolist() == [0, 1, 2]
        assert session["conditions/trials"][()].tolist() == [6, 6, 6]
        for c in range(3):
            np.testing.assert_allclose(session["conditions/rates_hz"][c], rates[()][c::3].mean(0), rtol=1e-6)


def test_a_latent_of_a_plugin_keeps_its_meaning_and_an_array_of_the_recording_gets_none(train_tiny, write_tiny, tmp_path):
    run = train_tiny(
        "train.epochs=1", "components.latents=[context]", data=write_tiny(train_latent_mean=np.zeros(12), valid_latent_mean=np.zeros(6))
    ).run
    export(run, "--h5", tmp_path / "all.h5")
    with h5py.File(run.output("tiny")) as written, h5py.File(tmp_path / "all.h5") as file:
        about = dict(file["tiny/trials/latent_context_mean"].attrs)
        assert (
            about == dict(written["valid_latent_context_mean"].attrs) == {"meaning": "posterior over the latent context: mean", "unit": "arbitrary"}
        )
        assert not file["tiny/trials/latent_mean"].attrs


def test_scipy_reads_the_matlab_file(run, tmp_path):
    export(run, "--mat", tmp_path / "out.mat")
    outputs, found = lfads_core.load(run.path).outputs(), loadmat(tmp_path / "out.mat")
    back = np.concatenate([outputs["train_inds"], outputs["valid_inds"]]).argsort()
    for name in ("rates_hz", "factors", "ic_mean", "co_means", "recon_data", "encod_data"):
        if f"train_{name}" in outputs:
            wanted = np.concatenate([outputs[f"train_{name}"], outputs[f"valid_{name}"]])[back]
            assert np.array_equal(found[name], wanted), name
            assert found[name].dtype == wanted.dtype
    assert found["session"].tolist() == ["tiny"]
    assert found["trial"].tolist() == [[i] for i in range(18)]
    assert found["condition_rates_hz"].shape == (3, 8, 5)
    assert set(found["split"].tolist()) == {"train", "valid"}


def test_every_kind_of_array_survives_the_way_to_matlab(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {code: (rng.normal(size=(3, 4, 2)) * 50).astype(code) for code in ("f8", "f4", "i1", "i2", "i4", "i8")}
    arrays |= {code: rng.integers(0, 100, (5, 2)).astype(code) for code in ("u1", "u2", "u4", "u8")}
    arrays |= {"big": np.arange(6.0).reshape(2, 3).astype(">f8"), "flag": np.array([[True, False]]), "none": np.zeros((0, 3)), "one": np.float64(2.5)}
    write_mat(tmp_path / "a.mat", {**arrays, "text": "süß", "lines": np.array(["a", "bcd"])})
    found = loadmat(tmp_path / "a.mat")
    for name, value in arrays.items():
        wanted = np.asarray(value)
        np.testing.assert_array_equal(found[name], wanted.reshape(wanted.shape if wanted.ndim > 1 else (wanted.size, 1)), err_msg=name)
    assert found["text"].tolist() == ["süß"]
    assert found["lines"].tolist() == ["a  ", "bcd"]
    assert found["flag"].dtype == np.uint8


def test_names_are_matlabs():
    assert matlab_name("2024-01-05 rat.7") == "x2024_01_05_rat_7"
    assert len(matlab_name("a" * 100)) == 63


def test_a_variable_too_large_for_the_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "_MOST_BYTES", 1000)
    with pytest.raises(RunError) as caught:
        write_mat(tmp_path / "a.mat", {"large": np.zeros(200)})
    assert str(caught.value) == (
        f"{tmp_path / 'a.mat'}: 'large' must be below 2 GiB in a MAT-file of version 5, got 0.0 GiB. Use --h5, which MATLAB's h5read reads."
    )
    assert list(tmp_path.iterdir()) == []


def test_the_header_is_that_of_version_five(tmp_path):
    write_mat(tmp_path / "a.mat", {})
    content = (tmp_path / "a.mat").read_bytes()
    assert len(content) == 128
    assert content[124:] == struct.pack("<H", 0x0100) + b"IM"


def test_parameters_are_written_by_name_and_by_session(train_tiny, write_tiny, tmp_path):
    data = [write_tiny("a.h5"), write_tiny("b.h5", channels=4, seed=1)]
    run = train_tiny("train.epochs=1", data=data).run
    export(run, "--parameters", tmp_path / "weights.h5")
    parameters, found = lfads_core.load(run.path).parameters(), {}
    with h5py.File(tmp_path / "weights.h5") as file:

        def visit(at, dataset):
            if isinstance(dataset, h5py.Dataset) and dataset.attrs["name"]:
                found[dataset.attrs["name"]] = (at, dataset[()], bool(dataset.attrs["trained"]))

        file.visititems(visit)
        rows = file["decoder/factors/rows"][()]
    assert found.keys() == parameters.keys()
    for name, value in parameters.items():
        assert np.array_equal(found[name][1], value), name
    assert found["readouts.b.weight"][0] == "sessions/b/readout/weight"
    assert found["decoder.generator.recurrent"][0] == "decoder/generator/recurrent"
    assert found["decoder.generator.recurrent"][2]
    assert not found["ic_prior.log_var"][2]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)


def outputs_of(inds=None):
    rng = np.random.default_rng(0)
    found = {}
    for split, trials in (("train", 3), ("valid", 2)):
        found |= {f"{split}_output_params": rng.normal(size=(trials, 4, 2)), f"{split}_side": np.arange(trials) % 2}
        if inds is not None:
            found[f"{split}_inds"] = np.asarray(inds[split])
    return found


def test_without_an_order_one_split_follows_the_other_and_a_trial_twice_is_refused():
    merged = merge_splits(outputs_of())
    assert merged.order.key is None
    assert merged.order.split.tolist() == ["train"] * 3 + ["valid"] * 2
    with pytest.raises(DataError) as caught:
        merge_splits(outputs_of({"train": [0, 1, 2], "valid": [2, 3]}))
    assert str(caught.value) == "outputs: '<split>_inds' must name every trial once over all splits, got some twice. Mend them in the recording."


def test_averages_leave_missing_values_out():
    outputs = outputs_of()
    outputs["train_output_params"][0, 1] = np.nan
    outputs["valid_output_params"][0, 1] = outputs["train_output_params"][2, 1] = np.nan
    found = average_conditions(merge_splits(outputs), "side", 4)
    assert np.isnan(found.arrays["output_params"][0, 1]).all()
    np.testing.assert_allclose(found.arrays["output_params"][1, 2], (outputs["train_output_params"][1, 2] + outputs["valid_output_params"][1, 2]) / 2)
    assert found.trials.tolist() == [3, 2]
    assert concatenated(merge_splits(outputs), 4)["output_params"].shape == (20, 2)


def test_conditions_that_are_not_there_are_refused_with_those_that_are(run, tmp_path):
    done = CliRunner().invoke(cli, ["export", str(run.path), "--h5", str(tmp_path / "a.h5"), "--conditions", "target"])
    assert done.exit_code == 2
    assert "--conditions: must name an array with a label for each trial (cond here), got 'target'." in " ".join(done.output.split())
    assert not (tmp_path / "a.h5").exists()
    nothing = CliRunner().invoke(cli, ["export", str(run.path)])
    assert "export: at least one of --h5, --mat, --parameters and --to must be given, got none." in " ".join(nothing.output.split())


@pytest.fixture
def held(train_tiny, write_tiny):
    """A run that holds 2 of 5 channels out, on a recording that names channels, conditions and the event trials are aligned to."""
    more = {f"{split}_{key}": values[rows] for split, rows in (("train", ORDER[:12]), ("valid", ORDER[12:])) for key, values in PER_TRIAL.items()}
    more |= {f"{split}_encod_data": COUNTS[rows] for split, rows in (("train", ORDER[:12]), ("valid", ORDER[12:]))}
    more |= {"cond_names": np.array([b"left", b"middle", b"right"]), "channel_depth": np.arange(5) * 100}
    names = np.array(list("abcde"), dtype=h5py.string_dtype())
    data = write_tiny(**more)
    with h5py.File(data, "r+") as file:
        file.attrs.update(channel_names=names, aligned_to="go", first_bin_ms=-250.0, bin_ms=7.0)
    return train_tiny("train.epochs=1", "data.hold_out.fraction=0.4", "data.hold_out.seed=2", data=data).run


COUNTS = np.random.default_rng(5).poisson(1.0, (18, 8, 5)).astype(np.float32)
PER_TRIAL = {"inds": np.arange(18), "cond": np.arange(18) % 3, "go_s": np.arange(18) * 1.5}
MODELS_ORDER = np.concatenate([np.sort(part) for part in np.split(np.random.RandomState(2).permutation(5), [2])[::-1]])
"""Index in the recording of each channel of the model: those held in, then the two held out."""


@pytest.mark.parametrize("form", ["h5", "mat"])
def test_an_export_has_the_channels_of_the_recording_in_its_own_order_whatever_was_held_out(held, tmp_path, form):
    export(held, f"--{form}", tmp_path / f"all.{form}")
    outputs = lfads_core.load(held.path).outputs()
    if form == "h5":
        with h5py.File(tmp_path / "all.h5") as file:
            session = file["tiny"]
            found = {key: session[f"trials/{key}"][()] for key in ("recon_data", "encod_data", "rates_hz", "output_params", "go_s")}
            long, averages = session["concatenated/rates_hz"][()], session["conditions/rates_hz"][()]
            names, held_out, depth = session["channels/names"].asstr()[()], session["channels/held_out"][()], session["channels/depth"][()]
            conditions, time = session["conditions/names"].asstr()[()], session["time_ms"][()]
            about = dict(session.attrs)
        assert about["trials_in_order_of"] == "<split>_inds"
        assert np.array_equal(long, np.concatenate(list(found["rates_hz"])))
    else:
        found = loadmat(tmp_path / "all.mat", squeeze_me=True)
        averages, names, held_out, depth = found["condition_rates_hz"], found["channel_names"], found["channel_held_out"], found["channel_depth"]
        conditions, time, about = [name.strip() for name in found["condition_names"]], found["time_ms"], found
    assert np.array_equal(found["recon_data"], COUNTS)
    assert set(np.flatnonzero(held_out)) == set(MODELS_ORDER[3:])
    assert np.array_equal(found["encod_data"], COUNTS[..., ~np.asarray(held_out, bool)])
    for split in ("train", "valid"):
        for row, trial in enumerate(outputs[f"{split}_inds"]):
            for model, channel in enumerate(MODELS_ORDER):
                for key in ("rates_hz", "output_params"):
                    assert np.array_equal(found[key][trial, :, channel], outputs[f"{split}_{key}"][row, :, model])
    np.testing.assert_allclose(averages, np.stack([found["rates_hz"][c::3].mean(0) for c in range(3)]), rtol=1e-5)
    assert list(names) == list("abcde")
    assert list(depth) == [0, 100, 200, 300, 400]
    assert list(conditions) == ["left", "middle", "right"]
    assert np.allclose(found["go_s"], PER_TRIAL["go_s"])
    np.testing.assert_allclose(time, -250 + 7.0 * np.arange(8))
    assert (about["aligned_to"], about["first_bin_ms"], about["bin_ms"]) == ("go", -250, 7)
