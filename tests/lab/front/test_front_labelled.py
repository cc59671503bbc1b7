"""Labelled arrays: every value stands under the trial, time and unit that it is of, in the recording's own order."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import yaml

import lfads_core as lf


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(tiny_settings):
    return {key: yaml.safe_load(value) for key, value in (text.split("=") for text in tiny_settings)}


COUNTS = np.random.default_rng(0).poisson(1.0, (30, 8, 5))
SIDE = np.array(["left", "right", "up"] * 10)
STARTS = 3.0 + np.random.default_rng(1).permutation(30) * 2.0
RT = np.random.default_rng(2).uniform(size=30)


@pytest.fixture
def run(settings, here):
    recording = lf.Recording.from_arrays(
        COUNTS, bin_ms=10.0, conditions=SIDE, channel_names=list("vwxyz"), trials={"rt": RT, "start_s": STARTS}, event="go", before=20
    )
    return lf.run(recording, settings={**settings, "train.epochs": 2}, hold_out=0.4, progress=False)


def test_data_and_rates_stand_in_the_recordings_own_order(run):
    found = run.results
    np.testing.assert_array_equal(found["data"].values, COUNTS)
    assert found["trial"].values.tolist() == list(range(30))
    assert found["unit"].values.tolist() == list("vwxyz")
    np.testing.assert_allclose(found["rt"].values, RT)
    np.testing.assert_allclose(found["start_s"].values, STARTS)
    assert found["condition"].values.tolist() == SIDE.tolist()
    with h5py.File(run.run.output("recording")) as file:
        order = file["channel_order"][()]
        assert order.tolist() != [0, 1, 2, 3, 4]
        for split in ("train", "valid"):
            rows = file[f"{split}_inds"][()]
            assert (found["split"].values[rows] == split).all()
            for here, key in {"rates": "rates_hz", "factors": "factors", "inputs": "co_means", "initial_conditions": "ic_mean"}.items():
                mine, theirs = found[here].values[rows], file[f"{split}_{key}"][()]
                np.testing.assert_array_equal(mine[..., order] if here == "rates" else mine, theirs)
        assert found["held_out"].values[order].tolist() == [False] * 3 + [True] * 2


def test_times_are_the_middles_of_bins_from_the_event_and_units_are_said(run):
    assert run.rates["time"].values.tolist() == [-15, -5, 5, 15, 25, 35, 45, 55]
    assert run.rates["time"].attrs == {"units": "ms", "long_name": "middle of each bin, from go"}
    assert run.rates.attrs["units"] == "events/s"
    assert run.factors.attrs["units"] == "arbitrary"
    assert (run.rates.dims, run.factors.dims, run.inputs.dims) == (("trial", "time", "unit"), ("trial", "time", "factor"), ("trial", "time", "input"))
    assert run.initial_conditions.dims == ("trial", "dimension")
    assert run.rates.sel(time=slice(0, 30)).sizes["time"] == 3  # what lies between 0 and 30 ms after the event


def test_selecting_by_labels_gives_what_the_labels_say(run):
    left = run.rates.where(run.rates["condition"] == "left", drop=True)
    assert left["trial"].values.tolist() == np.flatnonzero(SIDE == "left").tolist()
    held = run.rates.sel(unit=run.rates["held_out"])
    assert held["unit"].values.tolist() == run.rates["unit"].values[run.rates["held_out"].values].tolist()


def test_new_trials_are_inferred_with_labels_of_their_own(run, here):
    new = lf.Recording.from_arrays(COUNTS[:12], bin_ms=10.0, channel_names=list("vwxyz"), name="later")
    found = run.infer(new)
    assert found.sizes["trial"] == 12
    np.testing.assert_array_equal(found["data"].values, COUNTS[:12])
    again = run.infer(new.save(here / "later.h5"))
    np.testing.assert_array_equal(found["rates"].values, again["rates"].values)
    assert [path.name for path in (run.path / "inferred").iterdir()] == ["later.h5"]
    assert run.rates.sizes["trial"] == 30  # the run's own are where they were


def test_other_channels_than_it_was_trained_on_are_refused(run):
    other = lf.Recording.from_arrays(COUNTS[:12], bin_ms=10.0, name="later")
    with pytest.raises(lf.DataError, match="must have the channels and the bins that the model was trained on, got other channels"):
        run.infer(other)


def test_samples_of_the_prior_have_the_recordings_channels_and_times(run):
    from lfads_plugins_lab.export.generate import sample_trials

    found, (arrays, _) = run.generate(4, seed=3), sample_trials(run, trials=4, seed=3)
    with h5py.File(run.run.output("recording")) as file:
        order = file["channel_order"][()]
    np.testing.assert_array_equal(found["data"].values[..., order], arrays["recording_data"])
    np.testing.assert_allclose(found["rates"].values[..., order], arrays["recording_output_params"] * 100, rtol=1e-6)
    assert found["unit"].values.tolist() == list("vwxyz")
    assert found["time"].values.tolist() == run.rates["time"].values.tolist()


def test_a_recording_gives_its_own_values_labelled():
    split = ["valid", "train", "test"] * 10
    recording = lf.Recording.from_arrays(COUNTS, split=split, channel_names=list("abcde"))
    np.testing.assert_array_equal(recording.data.values, COUNTS)
    assert recording.data["split"].values.tolist() == split
    assert recording.data["time"].attrs["units"] == "bins"


def test_tables_hold_what_the_files_hold(run):
    import json

    log = run.log
    assert log.index.name == "epoch"
    assert log["valid/recon"].tolist() == list(run.columns()["valid/recon"])
    table = run.evaluate()
    assert table.index.names == ["session", "split", "predictor"]
    kept = json.loads((run.path / "evaluation.json").read_text())["sessions"]["recording"]
    assert table.loc[("recording", "valid", "LFADS"), "co_bps"] == kept["scores"]["valid"]["LFADS"]["co_bps"]
    assert table.loc[("recording", "valid", "LFADS"), "nll"] == kept["costs"]["valid"]["all"]
    assert len(table.loc[("recording", "valid")]) > 1  # baselines


def test_runs_are_compared_in_a_table(run, settings, here):
    recording = lf.Recording.from_file(run.run.data[0])
    other = lf.run(recording, settings={**settings, "train.epochs": 1, "optim.lr": 0.001}, hold_out=0.4, name="other", progress=False)
    table = run.compare(other, run.path)
    assert table.index.tolist() == ["recording", "other"]
    assert table["epochs"].tolist() == [2, 1]
    assert table.loc["other", "optim.lr"] == "0.001"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["trials", "factors", "psth", "inputs", "training"])
def test_a_figure_is_one_that_a_notebook_shows(run, kind):
    figure = getattr(run.plot, kind)()
    assert type(figure).__name__ == "Figure"
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_figure_of_what_is_not_there_is_refused(run):
    with pytest.raises(lf.RunError, match=r"runs/recording: must hold the split 'test' of recording, got train, valid\. Name one of these\.$"):
        run.plot.trials(split="test")


@pytest.mark.long
def test_the_page_is_made(run, here):
    assert run.report("page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
