"""What people meet first from raw files: trials without stops or of unequal length, axes in another order, files for other commands."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.data.read import read_sessions
from lfads_core.errors import ConfigError, DataError
from lfads_core.plugins import load_registry
from lfads_plugins_lab.cli.make import chop, make
from lfads_plugins_lab.recordings import MakeOptions, SourceOptions, SplitOptions, WindowOptions, read_source
from lfads_plugins_lab.recordings import make as make_file
from lfads_plugins_lab.recordings.say import say_of_file
from lfads_plugins_lab.recordings.suggest import command_for
from lfads_plugins_lab.recordings.wishes import DEFAULTS
from raw_files import reaches, write_tables


def lfads(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_defaults_in_python_are_those_of_the_commands():
    for command, more in ((make, []), (chop, ["--window", "100"])):
        own = command.make_context("x", ["a.csv", "-o", "b.h5", *more]).params
        assert {name: value for name, value in own.items() if name in DEFAULTS} == {name: DEFAULTS[name] for name in own if name in DEFAULTS}
        assert set(own) - set(DEFAULTS) == {"sources", "output", "force", *(["chop_ms", "overlap_ms"] if more else [])}


# trials without stops, and without starts


@pytest.mark.parametrize("columns", [("start", "go"), ("go",)])
def test_trials_without_stops_end_with_their_windows(columns, tmp_path):
    of = reaches(12, 4)
    path, _ = write_tables(of, tmp_path)
    full = make_file(
        read_source(path, SourceOptions(trials=tmp_path / "trials.csv")), MakeOptions(window=WindowOptions(event="go", before_ms=200, after_ms=600))
    )
    rows = zip(*(getattr(of, name).tolist() for name in columns), strict=True)
    (tmp_path / "short.csv").write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    source = read_source(path, SourceOptions(trials=tmp_path / "short.csv"))
    short = make_file(source, MakeOptions(window=WindowOptions(event="go", before_ms=200, after_ms=600)))
    for split in ("train", "valid"):
        np.testing.assert_array_equal(short.arrays[f"{split}_encod_data"], full.arrays[f"{split}_encod_data"])
        np.testing.assert_allclose(short.arrays[f"{split}_trial_stop_s"], of.go[short.arrays[f"{split}_inds"]] + 0.6)
    with pytest.raises(DataError, match=re.escape("must have a column with the stop of each trial") if "start" in columns else "start of each trial"):
        make_file(source, MakeOptions())


# trials of unequal length


def uneven(folder, rng, *, axes="tn"):
    """A structure for each trial, its data as Matlab has them, and when the go cue came in s from its start."""
    lengths = rng.integers(30, 60, 14)
    trials = np.zeros((1, len(lengths)), dtype=[("spikes", object), ("hand", object), ("go", object), ("side", object)])
    data = [rng.poisson(0.5, (length, 3)).astype(float) for length in lengths]
    hand = [rng.normal(size=(length, 2)) for length in lengths]
    go = np.round(rng.uniform(0.1, 0.14, len(lengths)), 2)
    for i, length in enumerate(lengths):
        trials[0, i] = (data[i] if axes == "tn" else data[i].T, hand[i], float(go[i]), "left" if i % 2 else "right")
        assert length == len(data[i])
    scipy.io.savemat(folder / "a.mat", {"R": trials, "bin_ms": 10.0})
    return data, hand, go


@pytest.mark.parametrize("axes", ["tn", "nt"])
def test_trials_of_unequal_length_are_cut_around_an_event(axes, tmp_path):
    data, hand, go = uneven(tmp_path, np.random.default_rng(0), axes=axes)
    source = read_source(tmp_path / "a.mat", SourceOptions(keys={"data": "R_spikes"}, axes=f"b{axes}"))
    options = MakeOptions(
        window=WindowOptions(event="R_go", before_ms=50, after_ms=150), behaviour=("R_hand",), condition=("R_side",), split=SplitOptions(by="last")
    )
    made = make_file(source, options)
    rows = np.concatenate([made.arrays["train_inds"], made.arrays["valid_inds"]])
    assert rows.tolist() == list(range(14))
    values = np.concatenate([made.arrays["train_encod_data"], made.arrays["valid_encod_data"]])
    moved = np.concatenate([made.arrays["train_behavior"], made.arrays["valid_behavior"]])
    for i in range(14):
        first = round(go[i] / 0.01) - 5
        np.testing.assert_array_equal(values[i], data[i][first : first + 20])
        np.testing.assert_allclose(moved[i], hand[i][first : first + 20], rtol=1e-6)
    assert not {"train_start_s", "train_trial_start_s"} & set(made.arrays)  # there is no common clock
    np.testing.assert_allclose(made.arrays["train_R_go_ms"], 50.0, atol=1e-6)


def test_signals_of_uneven_trials_keep_their_bins(tmp_path):
    """Twice as wide: the mean of two. A window begins with the data's; holes are bridged, what lies beyond a trial is unknown."""
    data, hand, _ = uneven(tmp_path, np.random.default_rng(2))
    of = scipy.io.loadmat(tmp_path / "a.mat")
    for i, trial in enumerate(of["R"][0]):
        trial["go"], trial["hand"][15, 0] = np.array([[0.105 + 0.01 * (i % 2)]]), np.nan
    scipy.io.savemat(tmp_path / "a.mat", {"R": of["R"], "bin_ms": 10.0})
    source = read_source(tmp_path / "a.mat", SourceOptions(keys={"data": "R_spikes"}))
    window = WindowOptions(event="R_go", before_ms=0, after_ms=100)
    found = {}
    for bin_ms, after in ((10, 100), (20, 100), (10, 600)):
        options = MakeOptions(
            window=replace(window, after_ms=after),
            bin_ms=bin_ms,
            behaviour=("R_hand",),
            unobserved="nan",
            max_gap_ms=2000,
            split=SplitOptions(by="last"),
        )
        made = make_file(source, options)
        found[bin_ms, after] = [np.concatenate([made.arrays[f"{split}_{key}"] for split in ("train", "valid")]) for key in ("encod_data", "behavior")]
    values, moved = found[10, 100]
    for i, (counts, way) in enumerate(zip(data, hand, strict=True)):
        (first,) = [k for k in (10, 11, 12) if np.array_equal(values[i], counts[k : k + 10])]
        way[15, 0] = (way[14, 0] + way[16, 0]) / 2
        np.testing.assert_allclose(moved[i], way[first : first + 10], rtol=1e-6)
        pairs = way[first : first + 10].copy()
        hole = 15 - first
        pairs[hole, 0] = pairs[hole - 1 if hole % 2 else hole + 1, 0]  # the other of the two stands alone
        np.testing.assert_allclose(found[20, 100][1][i], pairs.reshape(5, 2, 2).mean(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(np.isnan(found[10, 600][1][i]), np.isnan(found[10, 600][0][i][:, :2]))


def test_windows_that_leave_a_trial_see_nothing_of_its_neighbours(tmp_path):
    data, _, go = uneven(tmp_path, np.random.default_rng(1))
    source = read_source(tmp_path / "a.mat", SourceOptions(keys={"data": "R_spikes"}))
    window = WindowOptions(event="R_go", before_ms=50, after_ms=300)
    made = make_file(source, MakeOptions(window=window, unobserved="nan", split=SplitOptions(by="last")))
    values = np.concatenate([made.arrays["train_encod_data"], made.arrays["valid_encod_data"]])
    for i in range(14):
        first = round(go[i] / 0.01) - 5
        there = data[i][first : first + 35]
        np.testing.assert_array_equal(values[i][: len(there)], there)
        assert np.isnan(values[i][len(there) :]).all()
    dropped = make_file(source, MakeOptions(window=window, split=SplitOptions(by="last")))
    fitting = [i for i in range(14) if len(data[i]) >= round(go[i] / 0.01) + 30]
    assert np.concatenate([dropped.arrays["train_inds"], dropped.arrays["valid_inds"]]).tolist() == fitting


def test_without_an_event_trials_of_unequal_length_end_as_the_shortest(tmp_path):
    data, _, _ = uneven(tmp_path, np.random.default_rng(2))
    made = make_file(read_source(tmp_path / "a.mat", SourceOptions(keys={"data": "R_spikes"})), MakeOptions(split=SplitOptions(by="last")))
    shortest = min(map(len, data))
    values = np.concatenate([made.arrays["train_encod_data"], made.arrays["valid_encod_data"]])
    np.testing.assert_array_equal(values, np.stack([trial[:shortest] for trial in data]))


# axes


def test_axes_are_those_of_every_array_that_fits_and_one_may_have_its_own(tmp_path):
    rng = np.random.default_rng(0)
    values, hand, other = rng.poisson(1.0, (12, 6, 3)), rng.normal(size=(12, 6, 2)), rng.normal(size=(12, 6, 4))
    np.savez(tmp_path / "a.npz", data=values.transpose(2, 0, 1), hand=hand.transpose(2, 0, 1), other=other, own=other.transpose(1, 2, 0), bin_ms=10.0)
    out = tmp_path / "o.h5"
    done = lfads("data", "make", tmp_path / "a.npz", "--axes", "nbt", "--axes", "own=tnb", "--last", "-o", out)
    assert done.exit_code == 0, done.output
    with h5py.File(out) as file:
        for key, wanted in {"encod_data": values, "hand": hand, "other": other, "own": other}.items():
            found = np.concatenate([file[f"train_{key}"][()], file[f"valid_{key}"][()]])
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
    done = lfads("data", "make", tmp_path / "a.npz", "--axes", "owm=tnb", "-o", out, "--force")
    assert "--axes must name an array, got 'owm'. Did you mean 'own'?" in done.output


# what to do next, in the error itself


def test_a_raw_recording_given_to_run_or_check_is_told_the_command_that_makes_it_one(tmp_path):
    of = reaches(20, 4)
    arrays = {"spike_times": np.concatenate(list(of.units.values())), "spike_units": np.repeat([1, 2, 3, 4], [t.size for t in of.units.values()])}
    success = np.arange(20) % 5 != 0
    quality = np.array(["good", "mua", "good", "good"])
    np.savez(
        tmp_path / "raw one.npz",
        **arrays,
        trial_start=of.start,
        trial_stop=of.stop,
        trial_go_cue=of.go,
        trial_success=success,
        unit_quality=quality,
        hand_vel=of.hand,
        hand_vel_times=of.hand_times,
    )
    path = tmp_path / "raw one.npz"
    words = shlex.split(command_for(path))
    window = dict(itertools.pairwise(words))
    before, after = float(window["--before"]), float(window["--after"])
    assert 0 < before <= min(200, 1000 * (of.go - of.start).min() + 10)
    assert 700 < after <= 800
    assert command_for(path) == (
        f"lfads data make '{path}' --units \"quality == 'good'\" --trials success --event go_cue --before {before:g} --after {after:g} "
        "--behaviour hand_vel -o 'raw one.h5'"
    )
    for verb in (["run"], ["data", "check"]):
        done = lfads(*verb, path)
        assert done.exit_code == 2
        assert (
            f"{path}: must be a file for training, got a raw recording (NumPy archives, pynapple's too). Make one of it, such as: lfads data make "
            in done.output
        )
    made = lfads(*words[1:-1], tmp_path / "made.h5")
    assert made.exit_code == 0, made.output
    with h5py.File(tmp_path / "made.h5") as file:
        assert file["train_encod_data"].shape[2] == 3
        assert file["train_behavior"].shape[2] == 2


def test_a_recording_without_trials_is_told_to_be_chopped(tmp_path):
    np.savez(tmp_path / "a.npz", spike_times=np.arange(0, 20, 0.05), spike_units=np.tile([1, 2], 200))
    assert command_for(tmp_path / "a.npz") == f"lfads data chop {tmp_path}/a.npz --window 1000 --overlap 200 --last -o a.h5"


def test_events_in_a_table_are_told_the_table_of_trials_beside_them(tmp_path):
    path, _ = write_tables(reaches(20, 4), tmp_path)
    words = shlex.split(command_for(path))
    assert words[:6] == ["lfads", "data", "make", str(path), "--trials", str(tmp_path / "trials.csv")]
    assert words[6] == "--event"
    assert lfads(*words[1:-1], tmp_path / "made.h5").exit_code == 0
    (tmp_path / "other_trials.csv").write_text("start,stop\n1,2\n")
    assert "--trials" not in command_for(path)  # which of the two is meant is not to be guessed


@pytest.mark.parametrize("bin_ms", [None, 10.0])
def test_the_one_structure_of_a_file_is_known_by_its_fields_and_the_suggestion_for_it_works(bin_ms, tmp_path):
    data, _, go = uneven(tmp_path, np.random.default_rng(0))
    content = {"R": scipy.io.loadmat(tmp_path / "a.mat")["R"]} | ({} if bin_ms is None else {"bin_ms": bin_ms})
    scipy.io.savemat(tmp_path / "a.mat", content)
    said = command_for(tmp_path / "a.mat")
    spare = [10 * int(ms / 10 + 1e-6) for ms in (np.percentile(1000 * go, 5), np.percentile([10 * len(d) for d in data] - 1000 * go, 5))]
    wanted = "--bin WIDTH_IN_MS" if bin_ms is None else f"--event go --before {spare[0]} --after {spare[1]}"
    assert said == f"lfads data make {tmp_path}/a.mat {wanted} -o a.h5"
    done = lfads(*shlex.split(said.replace("WIDTH_IN_MS", "10"))[1:-1], tmp_path / "made.h5")
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "made.h5") as file:
        assert {"train_side", "train_hand"} <= set(file)
        assert file["train_encod_data"].shape[2] == data[0].shape[1]


def test_what_cannot_be_read_is_told_the_bare_command_and_nothing_else(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    text = f"{tmp_path}/a.npz: must be a file for training, got a raw recording (NumPy archives, pynapple's too). "
    with pytest.raises(DataError, match=f"^{re.escape(text)}.*lfads data make {re.escape(str(tmp_path))}/a.npz -o a.h5$"):
        read_sessions([tmp_path / "a.npz"], load_registry())


def test_a_file_without_validation_is_told_to_be_split_and_that_command_works(write_recording):
    path = write_recording("a.h5", {"train_encod_data": np.random.default_rng(0).poisson(1.0, (20, 5, 3))}, bin_ms=10.0)
    with pytest.raises(DataError, match="lfads data split") as refused:
        read_sessions([path], load_registry())
    command = shlex.split(str(refused.value).split("anew: ")[1])
    assert command[-1] == "a_split.h5"
    made = path.with_name("a_split.h5")
    assert lfads(*command[1:-1], made).exit_code == 0
    (session,) = read_sessions([made], load_registry())
    assert {name: split.trials for name, split in session.splits.items()} == {"train": 16, "valid": 4}


# what a file does not say


def test_the_width_of_bins_can_be_said_afterwards(write_recording, counts):
    path = write_recording("a.h5", counts)
    before = path.stat().st_ino
    done = lfads("data", "set", path, "bin_ms=20", "first_bin_ms=-100", "aligned_to=go")
    assert done.output == f"{path}: bin_ms is 20.0, first_bin_ms is -100.0, aligned_to is go\n"
    (session,) = read_sessions([path], load_registry())
    assert (session.bin_ms, session.first_bin_ms, session.aligned_to) == (20.0, -100.0, "go")
    np.testing.assert_array_equal(session.splits["train"].encod, counts["train_encod_data"])
    assert path.stat().st_ino == before
    assert lfads("data", "set", path, "bin_ms=20").exit_code == 0  # the same again
    done = lfads("data", "set", path, "bin_ms=10")
    assert done.output == f"error: {path}: 'bin_ms' is 20.0 already, got 10.0. Leave it, or change it with --force.\n"
    assert lfads("data", "set", path, "bin_ms=10", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"bin_ms": "0"}, "bin_ms: must be a number of milliseconds > 0, got '0'"),
        ({"bin_ms": "fast"}, "bin_ms: must be a number of milliseconds > 0, got 'fast'"),
        ({"first_bin_ms": "nan"}, "first_bin_ms: must be a number of milliseconds, got 'nan'"),
        ({"binms": "1"}, "binms: must be one of bin_ms, first_bin_ms, aligned_to, got 'binms'. Did you mean 'bin_ms'?"),
    ],
)
def test_what_cannot_be_said_is_refused(values, text, write_recording, counts):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        say_of_file(write_recording("a.h5", counts), values)
