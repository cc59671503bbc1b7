"""Synthetic imaging: the indicator against its formula, the grids against each other, the file through a whole run."""

from __future__ import annotations

import csv
import math

import attrs
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy import signal

from lfads_core.cli.main import cli
from lfads_plugins_calcium.indicator import calcium, fluorescence
from lfads_plugins_calcium.synthetic import _image, _system, generate_calcium
from lfads_plugins_calcium.synthetic_settings import CalciumConfig
from lfads_plugins_std.lorenz import expected_counts, trajectories

SMALL = CalciumConfig(conditions=3, trials_per_condition=10, frames=12, channels=9, warm_up_ms=300.0)


IDEAL = {"noise": 0.0, "rise_ms": 0.0, "decay_ms": 1e5, "half_saturation": None, "cooperativity": 1.0, "smallest_event": 0.0}
"""An indicator that is linear, rises at once and hardly decays, without noise: events are spikes."""


def make(seed=0, **changes):
    return generate_calcium(attrs.evolve(SMALL, **changes), np.random.default_rng(seed))


def spikes_in_the_frame_before(settings):
    """Expected spikes of three fine bins, which end with the one they stand at, by condition, without the warm-up."""
    rng, system = np.random.default_rng(0), _system(settings, 11.0, 30)
    rates = expected_counts(trajectories(system, rng), system, rng)
    return signal.lfilter(np.ones(3), 1, rates, axis=1)[:, 30:]


@pytest.mark.parametrize("rise_ms", [0.0, 20.0])
def test_calcium_is_spikes_convolved_with_the_kernel(rise_ms):
    spikes = np.random.default_rng(0).poisson(0.1, (2, 200, 3))
    t = (np.arange(200) + 0.5) * 10
    kernel = np.exp(-t / 300) * (1 - np.exp(-t / rise_ms) if rise_ms else 1.0)
    fine = np.linspace(0, 1000, 100_001)
    peak = (np.exp(-fine / 300) * (1 - np.exp(-fine / rise_ms) if rise_ms else 1.0)).max()
    expected = signal.fftconvolve(spikes, (kernel / peak)[None, :, None], axes=1)[:, :200]
    np.testing.assert_allclose(calcium(spikes, 10.0, rise_ms=rise_ms, decay_ms=300.0), expected, atol=1e-8)


def test_the_response_to_one_spike_is_1_and_many_saturate():
    level = np.array([[[0.0, 1.0, 20.0, 1e9, -1e-17]]])
    response = fluorescence(level, half_saturation=20.0, cooperativity=1.5)[0, 0]
    top = 1 + 20.0**1.5
    np.testing.assert_allclose(response, [0, 1, top / 2, top, 0], rtol=1e-6)
    np.testing.assert_allclose(fluorescence(level[..., :3], half_saturation=None, cooperativity=2.0)[0, 0], [0, 1, 400])


def test_both_grids_hold_the_same_events():
    fine, frames = make(grid="fine"), make(grid="frames")
    assert fine["bin_ms"] == pytest.approx(11.0)
    assert frames["bin_ms"] == 33.0
    scan = fine["scan_bin"]
    assert sorted(scan.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for key in ("train_recon_data", "valid_recon_data"):
        assert fine[key].shape[1:] == (36, 9)
        for cell, offset in enumerate(scan):
            np.testing.assert_array_equal(fine[key][:, offset::3, cell], frames[key][:, :, cell])
        assert np.isnan(fine[key]).mean() == pytest.approx(2 / 3)
        truth = key.replace("recon_data", "truth")
        for cell, offset in enumerate(scan):
            np.testing.assert_array_equal(fine[truth][:, offset::3, cell], frames[truth][:, :, cell])
    np.testing.assert_allclose(fine["train_spike_rates"].reshape(24, 12, 3, 9).mean(2), frames["train_spike_rates"], rtol=1e-5)


def test_without_noise_events_count_the_spikes():
    """A linear indicator that rises at once, slow against the frame: events are spikes, but for their decay within the frame."""
    data = make(**IDEAL, grid="frames", trials_per_condition=200)
    events = data["train_recon_data"]
    np.testing.assert_allclose(events, events.round(), atol=0.01)
    spikes = spikes_in_the_frame_before(attrs.evolve(SMALL, trials_per_condition=200))[data["train_cond"]].mean() * events.size
    assert events.sum() == pytest.approx(spikes, abs=6 * math.sqrt(spikes))


def test_the_truth_of_an_ideal_indicator_is_what_is_expected_in_the_frame_before():
    data = make(**IDEAL)
    scale = data["train_truth"] / spikes_in_the_frame_before(SMALL)[data["train_cond"]]
    assert scale.max() == pytest.approx(scale.min(), rel=1e-3)
    ending_here = data["train_spike_rates"][:, 2:] + data["train_spike_rates"][:, 1:-1] + data["train_spike_rates"][:, :-2]
    np.testing.assert_allclose(ending_here / 3, spikes_in_the_frame_before(SMALL)[data["train_cond"]][:, 2:], rtol=1e-5)


@pytest.mark.parametrize("grid", ["fine", "frames"])
def test_the_truth_is_the_mean_of_the_events_of_many_repeats(grid):
    """As the indicator comes: rise, saturation, noise and deconvolution."""
    data = make(trials_per_condition=600, mean_rate=12.0, grid=grid)
    for condition in range(3):
        rows = data["train_cond"] == condition
        events, truth = np.stack([data["train_recon_data"][rows].mean(0), data["train_truth"][rows][0]])[:, 3:]
        seen = np.isfinite(events)
        assert np.corrcoef(events[seen], truth[seen])[0, 1] > 0.97
        assert np.polyfit(truth[seen], events[seen], 1) == pytest.approx([1.0, 0.0], abs=0.15)


def test_a_cell_shows_a_spike_in_the_frame_in_which_its_row_is_scanned_next():
    spikes = np.zeros((1, 12, 3), dtype=int)
    spikes[0, 4] = 1  # in the middle of the second frame of three bins
    events = _image(spikes, np.array([0, 1, 2]), CalciumConfig(fine_bins=3, **IDEAL), np.random.default_rng(0))
    np.testing.assert_allclose(events[0], [[0, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0]], atol=0.01)


def test_the_same_seed_gives_the_same_data_and_another_does_not():
    one, two, other = make(1), make(1), make(2)
    assert all(np.array_equal(one[key], two[key], equal_nan=True) for key in one if key.startswith("train"))
    assert not np.array_equal(one["train_recon_data"], other["train_recon_data"], equal_nan=True)


def test_settings_that_leave_no_validation_are_named():
    assert attrs.evolve(SMALL, train_share=0.99).rules() == [
        "train_share: must leave trials of each condition for both splits, got 10 of 10 for training"
    ]
    assert SMALL.rules() == []


def call(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.long
def test_a_recording_with_gaps_goes_through_a_whole_run(tmp_path):
    """Checks, training, validation, inference, metrics and figures, with two thirds of all values missing."""
    data = tmp_path / "fine.h5"
    small = ("conditions=3", "trials_per_condition=10", "frames=8", "channels=9", "warm_up_ms=200")
    call("synth", "calcium", "-o", data, *(part for text in small for part in ("--set", text)))
    tiny = (
        "train.epochs=2", "train.metrics_every=1", "data.batch_size=8", "model.encoder.hidden=5", "model.controller.encoder_hidden=4",
        "model.controller.hidden=5", "model.generator.hidden=6", "model.generator.factors=4", "infer.samples=2", "track.mlflow=false",
    )  # fmt: skip
    run = tmp_path / "runs" / "a"
    call("run", data, "--plugin", "radical", "--hold-out", 0.3, "--runs", run.parent, "--name", "a", *(p for t in tiny for p in ("--set", t)))
    with (run / "fitlog.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = {key: float(value) for key, value in rows[-1].items() if value}
    assert all(map(math.isfinite, numbers.values()))
    assert "valid/r2_truth" in numbers
    with h5py.File(run / "lfads_output_fine.h5") as file:
        assert np.isfinite(file["valid_output_params"][()]).all()
        assert np.isfinite(file["valid_factors"][()]).all()
        assert np.isnan(file["valid_recon_data"][()]).mean() == pytest.approx(2 / 3, abs=0.01)
    assert {path.name for path in (run / "plots").iterdir()}
