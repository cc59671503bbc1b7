"""A run is loaded with the weights that are asked for, or named by its settings, and opens what was inferred."""

from __future__ import annotations

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from lfads_core.errors import DataError, RunError
from lfads_core.infer.loading import description_of, load
from lfads_core.plugins import Registry, load_registry
from lfads_core.recurrence.choose import recurrence_for
from lfads_core.train.checkpoint import load_checkpoint, save_checkpoint


def weights(loaded):
    return loaded.model.state_dict()


def test_the_best_weights_are_loaded_and_the_last_ones_stand_in_while_there_are_none(untrained, recorded):
    first = untrained([recorded()], checkpoints=("best", "last"))
    best, last = load(first.run.path), load(str(first.run.path), "last")
    assert (best.checkpoint, last.checkpoint, best.run, best.config) == ("best", "last", first.run, first.config)
    for name, value in weights(first).items():
        assert torch.equal(weights(best)[name], value)
        assert torch.equal(weights(last)[name], value + 1)
    assert not best.model.training
    assert best.model.loops is recurrence_for(best.config, "cpu")
    assert best.registry is load_registry()
    (first.run.checkpoints / "best.json").unlink()
    assert load(first.run.path).checkpoint == "last"
    with pytest.raises(RunError, match=re.escape(str(first.run.checkpoints / "best.json"))):
        load(first.run.path, "best")


def test_the_settings_name_the_weights_unless_others_are_asked_for(untrained, recorded):
    run = untrained([recorded()], "infer.checkpoint=last", checkpoints=("best", "last", "epoch-000003")).run
    assert [load(run.path, which).checkpoint for which in (None, "best", "epoch-3")] == ["last", "best", "epoch-000003"]
    (run.checkpoints / "best.json").unlink()
    assert [load(run.path, which).checkpoint for which in (None, "epoch-3")] == ["last", "epoch-000003"]
    (run.checkpoints / "last.json").unlink()
    with pytest.raises(RunError, match=re.escape(str(run.checkpoints / "last.json"))):
        load(run.path)
    with pytest.raises(RunError, match=re.escape("checkpoint: must be best, last or epoch-N with N as in fitlog.csv, got 'first'.")):
        load(run.path, "first")


def test_an_average_of_weights_goes_before_the_weights(untrained, recorded):
    loaded = untrained([recorded()], checkpoints=("best",))
    checkpoint = load_checkpoint(loaded.run.checkpoints, "best")
    average = {name: value + 5 for name, value in weights(loaded).items()}
    for kept, added in (({"weights": average}, 5), ({}, 0)):
        save_checkpoint(loaded.run.checkpoints, "best", replace(checkpoint, tensors={**checkpoint.tensors, "average": kept}))
        found = weights(load(loaded.run.path))
        assert all(torch.equal(found[name], value + added) for name, value in weights(loaded).items())


def test_the_loops_are_those_of_the_settings(untrained, recorded):
    run = untrained([recorded()], "train.recurrence=reference", checkpoints=("best",)).run
    loops = load(run.path).model.loops
    assert loops is recurrence_for(load(run.path).config, "cpu")
    assert recurrence_for(load(run.path).config, "cpu").name == "reference"


def test_components_come_from_the_registry_that_is_given(untrained, recorded, tmp_path):
    run = untrained([recorded()], checkpoints=("best",)).run
    import lfads_core.builtin
    import lfads_plugins_std.plugin

    registry = Registry.from_plugins({"lfads-core": lfads_core.builtin, "std": lfads_plugins_std.plugin})
    loaded = load(run.path, registry=registry)
    assert loaded.registry is registry
    with pytest.raises(RunError, match=re.escape(f"{tmp_path}: must be a run's folder, holding run.json, got a folder without one.")):
        load(tmp_path)


def test_the_model_is_put_on_the_device_that_is_named(untrained, recorded, monkeypatch):
    run = untrained([recorded()], checkpoints=("best",)).run
    asked = []
    monkeypatch.setattr("lfads_core.infer.loading.recurrence_for", lambda config, device: asked.append(device) or recurrence_for(config, "cpu"))
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, place: asked.append(place) or self)
    monkeypatch.setattr("lfads_core.infer.loading.load_checkpoint", lambda *args: asked.append(args[2]) or load_checkpoint(*args[:2]))
    for given, device in (({}, "cpu"), ({"device": "cuda:1"}, "cuda:1")):
        asked.clear()
        load(run.path, **given)
        assert [place for place in asked if isinstance(place, str)] == [device] * 3


def test_weights_that_do_not_fit_the_settings_are_told_with_their_file(untrained, recorded):
    run = untrained([recorded()], checkpoints=("best",)).run
    run.config_path.write_text(run.config_path.read_text().replace("factors: 3", "factors: 4"))
    with pytest.raises(RunError, match=re.escape(f"{run.checkpoints / 'best'}.json: must fit the run's config.yaml and data, got something else")):
        load(run.path)


def test_the_description_has_the_sizes_and_the_arrays_of_each_session(untrained, recorded):
    bias = np.arange(5, dtype=np.float32)
    sessions = [recorded("monday", arrays={"readout_bias": bias}), recorded("tuesday", channels=6)]
    run = untrained(sessions, checkpoints=("last",)).run
    loaded = load(run.path)
    found = description_of(load_checkpoint(run.checkpoints, "last"))
    assert [(s.name, s.encod_channels) for s in loaded.description.sessions] == [("monday", 5), ("tuesday", 6)]
    assert (found.bins, found.encoded_bins, found.external, found.bin_ms) == (7, 7, 0, 4.0)
    monday, tuesday = found.sessions
    assert {name: (type(value), value.tolist()) for name, value in monday.arrays.items()} == {"readout_bias": (np.ndarray, bias.tolist())}
    assert tuesday.arrays == {}


def test_outputs_are_those_of_the_session_that_is_named(untrained, recorded):
    loaded = untrained([recorded("monday"), recorded("tuesday", channels=6)])
    values = np.arange(6.0).reshape(2, 3)
    with h5py.File(loaded.run.output("tuesday"), "w") as file:
        file["train_factors"] = values
        file["bins"] = [7]
        file.attrs["bin_ms"] = 4.0
    found = loaded.outputs("tuesday")
    assert set(found) == {"train_factors", "bins"}
    assert np.array_equal(found["train_factors"], values)
    assert found["bins"].tolist() == [7]
    assert loaded.output_attributes("tuesday") == {"bin_ms": 4.0}
    for read in (loaded.outputs, loaded.output_attributes):
        with pytest.raises(RunError) as caught:
            read()
        assert str(caught.value) == f"{loaded.run.path}: which session must be named, got none of monday, tuesday."
        with pytest.raises(RunError) as caught:
            read("monday")
        path = loaded.run.output("monday")
        assert str(caught.value) == f"{path}: there are no outputs yet. Make them with `lfads infer {loaded.run.path}`."


def test_the_only_session_need_not_be_named_and_a_damaged_file_is_told(untrained, recorded):
    loaded = untrained([recorded("monday")])
    loaded.run.output("monday").write_bytes(b"no HDF5")
    for read in (loaded.outputs, loaded.output_attributes):
        with pytest.raises(DataError, match=re.escape(f"{loaded.run.output('monday')}: must be an HDF5 file, got something else.")):
            read()
    with h5py.File(loaded.run.output("monday"), "w") as file:
        file.attrs["bin_ms"] = 2.5
    assert loaded.output_attributes() == {"bin_ms": 2.5}
    assert loaded.outputs() == {}


def test_the_log_is_read_column_by_column(untrained, recorded):
    loaded = untrained([recorded()])
    loaded.run.fitlog.write_text("epoch,train/recon\n0,1.5\n1,1.25\n", encoding="utf-8")
    assert loaded.columns() == {"epoch": [0, 1], "train/recon": [1.5, 1.25]}


def test_a_model_that_never_samples_is_inferred_without_samples(untrained, recorded):
    assert untrained([recorded()], "infer.samples=7").default_samples == 7
    assert untrained([recorded()], "infer.samples=7", "model.variational=false").default_samples is None
