"""Whole sessions inferred with a run's own settings: in memory, into a file, and what is refused on the way."""

from __future__ import annotations

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from lfads_core.data import hdf5
from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.loader import SplitTensors
from lfads_core.data.session import Split
from lfads_core.errors import DataError, NumericsError
from lfads_core.infer.posterior import infer_split
from lfads_core.infer.run import check_fit, infer_sessions, infer_to_file


@pytest.fixture
def loaded(untrained, recorded):
    return untrained([recorded("monday"), recorded("tuesday", channels=6)], "infer.batch_size=3", "infer.distribution=true")


@pytest.mark.parametrize("samples", [None, 2])
def test_every_split_of_every_session_is_inferred_with_the_settings_of_the_run(loaded, recorded, monkeypatch, samples):
    sessions = [recorded("monday", seed=5), recorded("tuesday", channels=6, seed=6)]
    sizes = []
    encode = loaded.model.encode
    monkeypatch.setattr(loaded.model, "encode", lambda x, masks: sizes.append(len(x)) or encode(x, masks))
    found = infer_sessions(loaded, sessions, samples=samples, seed=8)
    assert sizes == [3, 3, 3, 2, 2] * 2
    assert {name: list(of) for name, of in found.items()} == {"monday": ["train", "valid"], "tuesday": ["train", "valid"]}
    for session in sessions:
        for split, data in session.splits.items():
            source = {session.name: SplitTensors.from_split(data, extras=())}
            expected = infer_split(loaded.model, loaded.infer_stack, source, samples=samples, batch_size=3, seed=8, distribution=True)
            arrays = found[session.name][split].arrays()
            assert any(key.startswith("distribution_") for key in arrays)
            for key, value in expected[session.name].arrays().items():
                np.testing.assert_array_equal(arrays[key], value, err_msg=key)


def test_values_that_are_not_finite_are_told_with_the_weights_that_are_to_blame(loaded, recorded):
    def message():
        with pytest.raises(NumericsError) as caught:
            infer_sessions(loaded, [recorded("monday")], samples=None, seed=0)
        return str(caught.value)

    start = f"{loaded.run.path}: 'output_params' inferred for the train trials of monday must be finite, got NaN or infinity. "
    end = "Take another checkpoint (--checkpoint), or train again."
    named = dict(loaded.model.named_parameters())
    broken = [name for name in named if name.startswith(("readouts.", "decoder."))][-5:]
    with torch.no_grad():
        for name in broken:
            named[name].view(-1)[0] = np.nan
    assert message() == f"{start}The weights of the checkpoint 'best' are not: {', '.join(broken[:3])} and 2 more. {end}"
    with torch.no_grad():
        for name in broken:
            named[name].fill_(1e30)
    assert message() == f"{start}The weights are. {end}"


def test_a_session_is_written_part_by_part_and_its_expected_values_come_back(loaded, recorded, tmp_path):
    session = recorded("tuesday", channels=6, seed=3)
    means = infer_to_file(loaded, session, tmp_path / "out.h5", samples=2, seed=4)
    expected = infer_sessions(loaded, [session], samples=2, seed=4)["tuesday"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert dict(file.attrs) == {"bin_ms": 4.0, "lfads_session": "tuesday", "lfads_checkpoint": "best", "lfads_posterior_samples": 2}
        assert file["train_output_params"].attrs["unit"] == "events/bin"
        assert {key for key in file if "rates_hz" in key} == {"train_rates_hz", "valid_rates_hz"}
        for split, values in expected.items():
            np.testing.assert_array_equal(means[split], values.output_params)
            for key, value in values.arrays().items():
                np.testing.assert_array_equal(file[f"{split}_{key}"], value)


def test_values_of_a_model_without_rates_have_the_units_of_the_data(untrained, recorded, tmp_path):
    loaded = untrained([recorded("monday")], "components.reconstruction=gaussian")
    infer_to_file(loaded, recorded("monday"), tmp_path / "out.h5", samples=None, seed=4)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["train_output_params"].attrs["unit"] == "units of the data"
        assert file.attrs["lfads_posterior_samples"] == 0
        assert not [key for key in file if "rates_hz" in key or "distribution" in key]


def test_of_a_recording_on_disk_the_sample_comes_back_and_all_is_written(loaded, recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SAMPLE_BYTES", 3 * 7 * 5 * 4)
    whole = recorded("monday", seed=7)
    with h5py.File(tmp_path / "monday.h5", "w") as file:
        for split, data in whole.splits.items():
            file[f"{split}_encod_data"] = data.recon
        file.attrs["bin_ms"] = 4.0
    session = read_hdf5(tmp_path / "monday.h5", keep_on_disk=True)
    rows = {split: stored.sample.tolist() for split, stored in session.stored.items()}
    assert {split: len(of) for split, of in rows.items()} == {"train": 3, "valid": 3}
    means = infer_to_file(loaded, session, tmp_path / "out.h5", samples=2, seed=4)
    expected = infer_sessions(loaded, [whole], samples=2, seed=4)["monday"]
    with h5py.File(tmp_path / "out.h5") as file:
        for split, values in expected.items():
            np.testing.assert_array_equal(file[f"{split}_output_params"], values.output_params)
            np.testing.assert_array_equal(means[split], values.output_params[rows[split]])


def resized(session, split="train", **arrays):
    return replace(session, splits={**session.splits, split: replace(session.splits[split], **arrays)})


def zeros(*shape):
    return np.zeros(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("split", "change", "got"),
    [
        ("train", {"encod": zeros(9, 6, 5)}, "((6, 5), (7, 5), 2)"),
        ("train", {"encod": zeros(9, 7, 4)}, "((7, 4), (7, 5), 2)"),
        ("valid", {"recon": zeros(4, 8, 5)}, "((7, 5), (8, 5), 2)"),
        ("valid", {"recon": zeros(4, 7, 6)}, "((7, 5), (7, 6), 2)"),
        ("train", {"external": zeros(9, 7, 0)}, "((7, 5), (7, 5), 0)"),
    ],
)
def test_sizes_must_be_those_of_training(untrained, recorded, tmp_path, split, change, got):
    session = recorded("monday", external=2)
    loaded = untrained([session])
    check_fit(loaded, [session, recorded("monday", external=2, seed=1)])
    for path, where in ((None, "monday"), (tmp_path / "a.h5", tmp_path / "a.h5")):
        with pytest.raises(DataError) as caught:
            check_fit(loaded, [session, replace(resized(session, split, **change), path=path)])
        assert str(caught.value) == (
            f"{where}: '{split}' must have encoded (bins, channels), reconstructed (bins, channels) and external inputs ((7, 5), (7, 5), 2) "
            f"as in training, got {got}. Cut and bin it like the training data."
        )


def test_encoded_and_reconstructed_sizes_are_each_compared_with_their_own(untrained, recorded):
    splits = {name: Split(encod=zeros(n, 5, 3), recon=zeros(n, 7, 4), external=zeros(n, 7, 0)) for name, n in (("train", 9), ("valid", 4))}
    loaded = untrained([recorded("monday", splits=splits)], "components.readin=linear")
    check_fit(loaded, [recorded("monday", splits=splits)])
    with pytest.raises(DataError, match=re.escape("external inputs ((5, 3), (7, 4), 0) as in training, got ((7, 5), (7, 5), 0).")):
        check_fit(loaded, [recorded("monday")])


def test_a_session_that_the_model_does_not_know_is_named_with_those_it_does(loaded, recorded, tmp_path):
    for path, where in ((None, "sunday"), (tmp_path / "a.h5", tmp_path / "a.h5")):
        with pytest.raises(DataError) as caught:
            infer_sessions(loaded, [recorded("sunday", path=path)], samples=None, seed=0)
        assert str(caught.value) == f"{where}: the session must be one the model knows (monday, tuesday), got 'sunday'. Rename the file."
