"""Recordings are read as those of a run, refused where they do not fit it, and their outputs go where nothing else is."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.config.load import resolve
from lfads_core.errors import DataError, RunError
from lfads_core.infer.run import _output_path, infer_files, infer_sessions, sessions_for
from lfads_core.plugins import DataReaderSpec, Registry, load_registry
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.train.data import read_for


@pytest.fixture
def run_of(write_tiny, untrained, tiny_settings):
    """A run of recordings in a folder of their own, by name and number of channels."""

    def make(*overrides, known=True, bin_ms=4.0, seed=0, arrays=None, **channels):
        paths = [write_tiny(f"data/{name}.h5", channels=n, bin_ms=bin_ms, seed=seed, **(arrays or {})) for name, n in channels.items()]
        settings = resolve([], (), [*tiny_settings, *overrides], load_registry())
        sessions = read_for(settings, paths, load_registry())
        loaded = untrained(sessions, "train.seed=6", *overrides, data=paths)
        return loaded if known else replace(loaded, description=replace(loaded.description, known={}))

    return make


def contents(path):
    with h5py.File(path) as file:
        return {key: value[()] for key, value in file.items()}, dict(file.attrs)


def inferred_here(loaded, patterns=None, samples=2):
    return infer_sessions(loaded, sessions_for(loaded, patterns), samples=samples, seed=6)


def test_the_runs_own_data_are_inferred_with_its_seed(run_of, tmp_path):
    loaded = run_of(monday=5, tuesday=6)
    paths = infer_files(loaded, None, samples=2, output=None)
    assert paths == [loaded.run.output("monday"), loaded.run.output("tuesday")]
    for path, (name, expected) in zip(paths, inferred_here(loaded).items(), strict=True):
        arrays, about = contents(path)
        assert (about["lfads_session"], about["lfads_posterior_samples"]) == (name, 2)
        assert not [key for key in arrays if "distribution" in key]
        for split, of in expected.items():
            np.testing.assert_array_equal(arrays[f"{split}_factors"], of.factors)
    assert infer_files(loaded, [], samples=None, output=tmp_path / "all") == [
        tmp_path / "all" / f"lfads_output_{name}.h5" for name in ("monday", "tuesday")
    ]


def test_parameters_of_the_distribution_are_added_where_they_are_asked_for(run_of, tmp_path):
    loaded = run_of("components.reconstruction=gaussian", monday=5)
    (path,) = infer_files(loaded, None, samples=2, output=tmp_path / "out.h5", distribution=True)
    assert path == tmp_path / "out.h5"
    arrays = contents(path)[0]
    assert len([key for key in arrays if key.startswith("train_distribution_")]) > 0
    assert loaded.config.infer.distribution is False
    np.testing.assert_array_equal(arrays["train_factors"], inferred_here(loaded)["monday"]["train"].factors)


def test_a_recording_of_the_only_session_may_have_any_name_and_splits(run_of, write_tiny):
    loaded = run_of(monday=5)
    later = write_tiny("later.h5", splits=("test",), seed=3, bin_ms=4.0)
    (path,) = infer_files(loaded, [later], samples=1, output=None)
    assert path == loaded.run.path / "lfads_output_later.h5"
    arrays, about = contents(path)
    assert about["lfads_session"] == "monday"
    assert {key.partition("_")[0] for key in arrays} == {"test", "time"}
    (session,) = sessions_for(loaded, [later])
    assert (session.name, list(session.splits), session.path) == ("monday", ["test"], later)


def test_one_recording_of_several_sessions_is_the_one_it_is_called_after(run_of, write_tiny, tmp_path):
    loaded = run_of(monday=5, tuesday=6)
    other = write_tiny("tuesday.h5", channels=6, seed=3, bin_ms=4.0)
    assert [s.name for s in sessions_for(loaded, [other])] == ["tuesday"]
    infer_files(loaded, [str(other)], samples=1, output=tmp_path / "out.h5")
    assert contents(tmp_path / "out.h5")[1]["lfads_session"] == "tuesday"
    strange = write_tiny("sunday.h5", channels=6, seed=3, bin_ms=4.0)
    for names in ([strange], [other, strange]):
        with pytest.raises(DataError, match=re.escape(f"{strange}: the session must be one the model knows (monday, tuesday), got 'sunday'. Rename")):
            infer_files(loaded, names, samples=1, output=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_two_recordings_of_one_session_are_not_both_taken_for_it(run_of, write_tiny):
    loaded = run_of(monday=5)
    paths = [write_tiny(f"{name}.h5", bin_ms=4.0) for name in ("later", "tomorrow")]
    with pytest.raises(DataError, match=re.escape("the session must be one the model knows (monday), got 'later'. Rename the file.")):
        sessions_for(loaded, paths)


def test_a_recording_of_another_format_is_read_by_the_plugin_for_it(run_of, recorded, tmp_path):
    read = DataReaderSpec(name="notes", summary="Notes", matches=lambda path: path.suffix == ".notes", read=lambda path: recorded(path=path, bins=8))
    offer = hookimpl(lambda: [read])
    offer.__name__ = "lfads_data_readers"
    plugins = {"lfads-core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "mine": SimpleNamespace(lfads_data_readers=offer)}
    loaded = replace(run_of(monday=5), registry=Registry.from_plugins(plugins))
    (tmp_path / "later.notes").write_text("counts")
    (session,) = sessions_for(loaded, [tmp_path / "later.notes"])
    np.testing.assert_array_equal(session.splits["train"].recon, recorded(bins=8).splits["train"].recon)


def without(path, split):
    with h5py.File(path, "r+") as file:
        del file[f"{split}_encod_data"]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_the_runs_own_data_must_have_both_splits_and_others_what_is_required(run_of, write_tiny, split):
    loaded = run_of(monday=5)
    other = write_tiny("later.h5", splits=(split,), bin_ms=4.0)
    assert [list(s.splits) for s in sessions_for(loaded, [other])] == [[split]]
    missing = "valid" if split == "train" else "train"
    with pytest.raises(DataError, match=f"{missing}_encod_data"):
        sessions_for(loaded, [other], required=("train", "valid"))
    own = loaded.run.data[0]
    without(own, missing)
    with pytest.raises(DataError, match=f"{missing}_encod_data"):
        sessions_for(loaded, None)
    assert [list(s.splits) for s in sessions_for(loaded, None, required=())] == [[split]]


def test_recordings_with_other_bins_than_in_training_are_refused(run_of, write_tiny):
    loaded = run_of(monday=5)
    other = write_tiny("later.h5", bin_ms=5.0)
    with pytest.raises(DataError, match=re.escape(f"{other}: must have the channels and the bins that the model was trained on, got bins of 5 ms")):
        infer_files(loaded, [other], samples=1, output=None)


def test_values_that_the_model_cannot_take_are_refused(run_of, write_tiny, tmp_path):
    loaded = run_of(monday=5)
    rng = np.random.default_rng(0)
    data = rng.poisson(1.0, (6, 8, 5)).astype("f4")
    gaps, below = data.copy(), data.copy()
    gaps[2, 3, 1], below[1, 0, 4] = np.nan, -1
    for values, text in ((gaps, "'test_recon_data' must have no missing values"), (below, "'test_recon_data' must")):
        other = write_tiny("later.h5", splits=(), bin_ms=4.0, test_encod_data=values)
        with pytest.raises(DataError, match=re.escape(f"{other}: {text}")):
            infer_files(loaded, [other], samples=1, output=tmp_path)
    other = write_tiny("later.h5", splits=("test",), bin_ms=4.0, test_ext_input=np.ones((6, 8, 2)))
    with pytest.raises(DataError, match=re.escape("'test_ext_input' must have 0 channels, as the model was trained, got 2.")):
        infer_files(loaded, [other], samples=1, output=tmp_path)
    assert not list(tmp_path.glob("lfads_output_*"))


def test_missing_values_are_taken_where_the_model_does_without_them(run_of, write_tiny, tmp_path):
    loaded = run_of("components.infer_augmentations=[sbtt]", monday=5)
    gaps = np.random.default_rng(0).poisson(1.0, (6, 8, 5)).astype("f4")
    gaps[2, 3, 1] = np.nan
    other = write_tiny("later.h5", splits=(), bin_ms=4.0, test_encod_data=gaps)
    assert infer_files(loaded, [other], samples=1, output=tmp_path / "new.h5") == [tmp_path / "new.h5"]
    assert np.isfinite(contents(tmp_path / "new.h5")[0]["test_factors"]).all()


def test_data_of_the_runs_own_that_have_changed_are_named(run_of, write_tiny, caplog):
    loaded = run_of(monday=5)
    own = loaded.run.data[0]
    sessions_for(loaded, None)
    elsewhere = write_tiny("elsewhere/monday.h5", bin_ms=4.0, seed=4)
    sessions_for(loaded, [elsewhere])
    assert not caplog.messages
    write_tiny("data/monday.h5", bin_ms=4.0, seed=4)
    sessions_for(loaded, None)
    text = "is no longer what the model was trained on: other contents in 'train' and 'valid'. What follows is of what it holds now."
    assert caplog.messages == [f"{own}: {text}"]
    caplog.clear()
    sessions_for(replace(loaded, description=replace(loaded.description, known={})), None)  # an older model does not say
    assert not caplog.messages


def test_expected_values_beyond_the_recording_are_named(run_of, caplog, tmp_path):
    loaded = run_of(monday=5, tuesday=6)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if name.startswith("readouts.tuesday"):
                weight.add_(5.0)
    infer_files(loaded, None, samples=None, output=tmp_path)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("look: tuesday: ")
    assert " expected values are more than 2 times as large as any value of the recording: at most " in caplog.messages[0]


def test_outputs_of_the_runs_own_data_and_recordings_are_never_replaced(run_of, write_tiny, tmp_path):
    loaded = run_of(monday=5)
    (own,) = infer_files(loaded, None, samples=1, output=None)
    assert infer_files(loaded, None, samples=1, output=None) == [own]
    before = own.read_bytes()
    other = write_tiny("elsewhere/monday.h5", bin_ms=4.0, seed=4)
    with pytest.raises(RunError) as caught:
        infer_files(loaded, [other], samples=1, output=None)
    assert str(caught.value) == f"{own}: holds outputs of the run's own data, which those of {other} would replace. Say where to write with -o."
    with pytest.raises(RunError) as caught:
        infer_files(loaded, [other], samples=1, output=other)
    assert str(caught.value) == f"{other}: outputs must go to a file of their own, got the recording itself. Choose another name for -o."
    assert own.read_bytes() == before
    assert infer_files(loaded, [other], samples=1, output=tmp_path) == [tmp_path / "lfads_output_monday.h5"]


def test_where_outputs_go(run_of, recorded, tmp_path):
    run = run_of(monday=5).run
    somewhere = recorded("monday", path=tmp_path / "monday.h5")
    read_by_a_plugin = recorded("monday")
    new = tmp_path / "new"
    for session in (somewhere, read_by_a_plugin):
        assert _output_path(run, session, "later", None, several=False) == run.path / "lfads_output_later.h5"
        assert _output_path(run, session, "later", new, several=False) == new
        assert _output_path(run, session, "later", new, several=True) == new / "lfads_output_later.h5"
        assert _output_path(run, session, "later", tmp_path, several=False) == tmp_path / "lfads_output_later.h5"
    run.output("later").write_bytes(b"")
    assert _output_path(run, read_by_a_plugin, "later", None, several=False) == run.output("later")
    assert _output_path(run, recorded(path=tmp_path / "data" / "monday.h5"), "later", None, several=False) == run.output("later")
    with pytest.raises(RunError, match="holds outputs of the run's own data"):
        _output_path(run, somewhere, "later", None, several=False)
    (tmp_path / "data" / "monday.h5").unlink()
    with pytest.raises(RunError, match="holds outputs of the run's own data"):
        _output_path(run, somewhere, "later", None, several=False)
    with pytest.raises(RunError, match="got the recording itself"):
        _output_path(run, recorded(path=tmp_path / "lfads_output_a.h5"), "a", tmp_path, several=True)
