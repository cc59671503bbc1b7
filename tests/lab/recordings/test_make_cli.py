"""``lfads data make`` on the command line, and the way from raw recordings through a training."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from lfads_core.cli.main import cli


def lfads(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


AROUND = ("--event", "go", "--before", 200, "--after", 500, "--behaviour", "hand", "--condition", "side")


def test_tables_become_a_file_and_the_next_commands_are_named(recording, tmp_path):
    spikes, trials, hand = recording.write_csv(tmp_path)
    out = tmp_path / "mine.h5"
    done = lfads("data", "make", spikes, "--trials", trials, "--series", f"hand={hand}", *AROUND, "--hold-out", 0.34, "--forward", 100, "-o", out)
    assert done.output == (
        f"wrote {out}: 8 train, 2 valid trials, 70 bins of 10 ms, 3 channels\nnext: lfads data check {out}, then lfads run {out}\n"
    )
    with h5py.File(out) as file:
        assert file["train_encod_data"].shape == (8, 60, 2)
        assert file["train_recon_data"].shape == (8, 70, 3)
        assert sorted(np.concatenate([file["train_cond"][()], file["valid_cond"][()]])) == [0] * 5 + [1] * 5
        assert file["valid_cond"][()].sum() == 1  # one of each side
        assert file["cond_names"].asstr()[()].tolist() == ["left", "right"]


def test_options_reach_what_they_are_for(recording, tmp_path):
    spikes, trials, hand = recording.write_csv(tmp_path)
    common = (spikes, "--trials", trials, "--series", f"hand={hand}", "-o", tmp_path / "o.h5", "--force")
    lfads(
        "data", "make", *common, "--event", "go", "--after", 400, "--bin", 20, "--every", 5, "--smooth", 40, "--hold-out-channel", 7, "--max-gap", 1
    )
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["valid_inds"][()].tolist() == [4, 9]
        assert file["train_smoothed"].shape == (8, 20, 3)
        assert file["channel_names"].asstr()[()].tolist() == ["3", "12", "7"]
        assert file["train_hand"].shape == (8, 20, 2)
    lfads("data", "make", *common, "--event", "go", "--after", 400, "--last", "--valid", 0.3, "--test", 0.1, "--series", "hand")
    with h5py.File(tmp_path / "o.h5") as file:
        assert (file["valid_inds"][()].tolist(), file["test_inds"][()].tolist()) == ([6, 7, 8], [9])


def test_several_recordings_become_a_folder_of_sessions(tmp_path):
    for name in ("day1", "day2"):
        np.savez(tmp_path / f"{name}.npz", data=np.random.default_rng(0).poisson(1.0, (10, 6, 3)), bin_ms=5.0)
    done = lfads("data", "make", tmp_path / "day1.npz", tmp_path / "day2.npz", "-o", tmp_path / "days", "--bin", 10)
    assert done.output.count("wrote ") == 2
    assert sorted(p.name for p in (tmp_path / "days").iterdir()) == ["day1.h5", "day2.h5"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--every", 2, "--last"), "--every, --last, --split-column: exclude each other, got several. Give one of them."),
        (("--key", "times"), "--key: must be NAME=VALUE, got 'times'"),
        (("--series", "=x"), "--series: must be NAME=VALUE, got '=x'"),
    ],
)
def test_options_that_make_no_sense_are_told_in_one_line(recording, tmp_path, options, text):
    spikes, *_ = recording.write_csv(tmp_path)
    done = lfads("data", "make", spikes, *options, "-o", tmp_path / "o.h5")
    assert (done.exit_code, done.output) == (2, f"error: {text}\n")


def train(path, tiny_settings, tmp_path):
    """A tiny run; its output file."""
    options = [part for text in (*tiny_settings, "train.epochs=2") for part in ("--set", text)]
    done = lfads("run", path, "--runs", tmp_path / "runs", "--name", "r", *options)
    assert done.exit_code == 0, done.output
    return tmp_path / "runs" / "r" / f"lfads_output_{path.stem}.h5"


def as_tables(recording, folder):
    spikes, trials, hand = recording.write_csv(folder)
    return spikes, ("--trials", trials, "--series", f"hand={hand}", *AROUND)


def as_matlab(recording, folder):
    cell = np.empty((3, 1), dtype=object)
    cell[:, 0] = list(recording.units.values())
    side = np.empty((10, 1), dtype=object)
    side[:, 0] = recording.side.tolist()
    times = {"start": recording.start, "stop": recording.stop, "go": recording.go, "hand": recording.hand, "hand_rate": 250.0}
    scipy.io.savemat(folder / "mine.mat", {"spike_times": cell, "side": side, **times})
    return folder / "mine.mat", AROUND


def as_nwb(recording, folder):
    pynwb = pytest.importorskip("pynwb", reason="pynwb, the extra [nwb], is not installed")
    nwb = pynwb.NWBFile(session_description="x", identifier="x", session_start_time=datetime(2026, 1, 1, tzinfo=UTC))
    for times in recording.units.values():
        nwb.add_unit(spike_times=times)
    nwb.add_trial_column("go", "cue")
    nwb.add_trial_column("side", "left or right")
    for i in range(10):
        nwb.add_trial(start_time=recording.start[i], stop_time=recording.stop[i], go=recording.go[i], side=str(recording.side[i]))
    module = nwb.create_processing_module("behavior", "x")
    module.add(pynwb.TimeSeries(name="hand", data=recording.hand, unit="m", rate=250.0, starting_time=0.0))
    with pynwb.NWBHDF5IO(str(folder / "mine.nwb"), "w") as io:
        io.write(nwb)
    return folder / "mine.nwb", AROUND


@pytest.mark.long
@pytest.mark.parametrize("written", [as_tables, as_matlab, as_nwb])
def test_from_a_raw_recording_to_rates_with_conditions_and_behaviour_beside_them(recording, written, tmp_path, tiny_settings):
    source, options = written(recording, tmp_path)
    made = tmp_path / "made.h5"
    assert lfads("data", "make", source, *options, "--hold-out", 0.34, "-o", made).exit_code == 0
    with h5py.File(train(made, tiny_settings, tmp_path)) as file:
        assert file["valid_output_params"].shape == (2, 70, 3)
        assert file["valid_rates_hz"].attrs["unit"] == "events/s"
        rows = file["valid_inds"][()]
        expected = recording.counts(0.2, 0.5, 0.01)[rows][:, :, file["channel_order"][()]]
        np.testing.assert_array_equal(file["valid_recon_data"], expected)
        assert [file["cond_names"].asstr()[()][k] for k in file["valid_cond"][()]] == recording.side[rows].tolist()
        assert file["valid_behavior"].shape == (2, 70, 2)


def test_from_a_continuous_recording_to_continuous_rates(recording, tmp_path, tiny_settings):
    spikes, *_ = recording.write_csv(tmp_path)
    lfads("data", "chop", spikes, "--window", 1000, "--overlap", 600, "--bin", 20, "--last", "-o", tmp_path / "chopped.h5")
    out = train(tmp_path / "chopped.h5", tiny_settings, tmp_path)
    lfads("data", "merge", out, "-o", tmp_path / "whole.h5")
    with h5py.File(out) as parts, h5py.File(tmp_path / "whole.h5") as whole:
        bins = int(parts["segment_bins"][0])
        assert whole["output_params"].shape == (bins, 3)
        assert whole["output_params"].attrs["unit"] == "events/bin"
        assert whole["factors"].shape == (bins, 3)
        assert whole["encod_data"][()].sum() == 1200
        assert "time_ms" not in whole
        # Where one window alone covers a bin, its own value stands there.
        first = parts["train_first_bin"][()]
        np.testing.assert_allclose(whole["output_params"][: first[1]], parts["train_output_params"][0, : first[1]], rtol=1e-6)
        # Where several do, the result lies between the least and the greatest of them.
        stack = np.full((len(first), bins, 3), np.nan)
        for row, at in enumerate(first):
            stack[row, at : at + 50] = parts["train_output_params"][row]
        seen = ~np.isnan(stack).all(axis=(0, 2)) & (np.arange(bins) < parts["valid_first_bin"][0])
        low, high = np.nanmin(stack[:, seen], axis=0), np.nanmax(stack[:, seen], axis=0)
        between = whole["output_params"][()][seen]
        assert ((between >= low - 1e-6) & (between <= high + 1e-6)).all()
