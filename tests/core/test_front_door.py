"""``import lfads_core as lf``: recordings, runs and what is said when something is wrong, with the packages of this project installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import types
from fractions import Fraction
from functools import partial

import h5py
import numpy as np
import pytest
import yaml

import lfads_core as lf
from lfads_core.components import AbstractPrior
from lfads_core.config.load import resolve
from lfads_core.front.brought import as_overrides
from lfads_core.plugins import FunctionSpec, NoSettings, PriorSpec, Registry, hookimpl, load_registry
from lfads_core.screen import Screen
from lfads_core.train.interrupt import StopWish


@pytest.fixture
def settings(tiny_settings):
    return {key: yaml.safe_load(value) for key, value in (text.split("=") for text in tiny_settings)}


@pytest.fixture
def recording():
    rng = np.random.default_rng(0)
    return lf.Recording.from_arrays(rng.poisson(1.0, (30, 8, 5)), bin_ms=10.0, conditions=["left", "right", "up"] * 10)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(state):
    """Without texts, of which bytes say nothing."""
    return {
        name: {key: of[key] for key in of if not key.endswith(("_names", "condition"))} if name.endswith(".h5") else of for name, of in state.items()
    }


def test_importing_it_loads_no_torch_and_every_public_name_is_there():
    code = "import lfads_core as lf, sys; lf.Recording; lf.synthetic; print('torch' in sys.modules, 'xarray' in sys.modules); print(dir(lf))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "False False"
    assert set(lf.__all__) <= set(re.findall(r"'(\w+)'", second))
    assert all(hasattr(lf, name) for name in lf.__all__)
    with pytest.raises(AttributeError, match=r"^module 'lfads_core' has no attribute 'Runn'$"):
        _ = lf.Runn


# recordings


def test_a_recording_of_arrays_holds_them_by_split_under_the_keys_of_a_file():
    values = np.random.default_rng(0).poisson(1.0, (12, 4, 3))
    split = ["train"] * 8 + ["valid"] * 3 + ["test"]
    recording = lf.Recording.from_arrays(values, bin_ms=20, channel_names=list("abc"), split=split, trials={"rt": np.arange(12.0)}, name="monday")
    assert {name: of.trials for name, of in recording.session.splits.items()} == {"train": 8, "valid": 3, "test": 1}
    np.testing.assert_array_equal(recording.session.splits["valid"].encod, values[8:11])
    assert recording.session.splits["valid"].extras["rt"].tolist() == [8, 9, 10]
    assert (recording.name, recording.bin_ms) == ("monday", 20.0)
    assert repr(recording) == "<Recording 'monday': 8 train, 3 valid, 1 test trials, 4 bins of 20 ms, 3 channels>"


def test_without_a_width_of_bins_none_is_made_up():
    recording = lf.Recording.from_arrays(np.full((12, 4, 3), 500.0))
    assert recording.bin_ms is None
    assert not [problem for problem in recording.problems if "events/s" in problem.text]


def test_it_says_what_the_command_says_and_is_a_table_in_a_notebook(recording, here):
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    saved = recording.save(here / "recording.h5")
    done = CliRunner().invoke(cli, ["data", "check", "recording.h5"])
    assert str(saved).replace(f"{here}/", "").split() == done.output.split()
    assert next(problem.text for problem in recording.check("gamma") if problem.severity == "error").startswith(
        "session 'recording': 'train_recon_data' must hold values > 0, got "
    )
    html = recording._repr_html_()
    assert re.search(r'<pre style="white-space:pre-wrap;[^>]*>[^\n]*looks like', html)  # sentences wrap, the table does not
    assert re.search(r'<pre style="white-space:pre;[^>]*>.*split', html)


def test_a_saved_recording_is_the_same_and_counts_are_stored_as_such(recording, here):
    recording.save("a.h5")
    back = lf.Recording.from_file("a.h5")
    with h5py.File("a.h5") as file:
        assert file["train_encod_data"].dtype == np.uint8
    for name, split in recording.session.splits.items():
        np.testing.assert_array_equal(back.session.splits[name].encod, split.encod)
        assert back.session.splits[name].extras["condition"].tolist() == split.extras["condition"].tolist()
    with pytest.raises(lf.DataError, match=r"^a\.h5: a new file must not replace another, got one that exists\."):
        recording.save("a.h5")


@pytest.mark.long
def test_synthetic_data_are_those_of_the_command(here):
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    made = lf.synthetic("lorenz", seed=3, channels=6, bins=10, conditions=4, trials_per_condition=5)
    CliRunner().invoke(
        cli,
        [
            "synth",
            "lorenz",
            "--seed",
            "3",
            *(p for k, v in {"channels": 6, "bins": 10, "conditions": 4, "trials_per_condition": 5}.items() for p in ("--set", f"{k}={v}")),
        ],
    )
    file = lf.Recording.from_file("lorenz.h5")
    np.testing.assert_array_equal(made.session.splits["train"].encod, file.session.splits["train"].encod)
    assert made.session.attributes == file.session.attributes
    with pytest.raises(lf.ConfigError, match=r"^synthetic: chanels: no such setting. Did you mean channels"):
        lf.synthetic("lorenz", chanels=6)
    with pytest.raises(lf.ConfigError, match=r"^synthetic: must make one recording, got 2 sessions"):
        lf.synthetic("lorenz", sessions=2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"counts": np.ones((3, 4))}, "arrays: counts must be numbers (trials, bins, channels), got shape (3, 4) of type float64. Give three axes."),
        ({"counts": np.full((3, 4, 2), np.inf)}, "arrays: counts must be finite, got 24 infinite of 24 values. Store NaN for not observed."),
        ({"conditions": ["a"]}, "arrays: 'condition' must have one value for each of 12 trials, got shape (1,). Mend it."),
        ({"channel_names": ["a", "a"]}, "arrays: each of 2 channels must have a name of its own, got 2, 1 different. Mend them."),
        (
            {"behaviour": np.ones((12, 3, 2))},
            "arrays: behaviour must be (trials, bins, dimensions) with (12, 4) trials and bins, got (12, 3, 2). Mend it.",
        ),
        ({"trials": [1, 2]}, "trials: must be a table, such as a DataFrame or arrays by name, got list. Wrap it."),
        (
            {"split": ["later"] * 12},
            "arrays: the column 'split' must say train, valid (or val) or test, got 'later'. Name another, or split by 'valid'.",
        ),
        (
            {"counts": [np.ones((4, 2)), np.ones((3, 2))]},
            "arrays: counts must be one array, got parts of unequal length. Cut trials to one length, or fill up with NaN.",
        ),
        ({"behaviour": "hand"}, "arrays: behaviour must be numbers, got 'hand'. Mend them."),
        ({"bin_ms": 0}, "arrays: 'bin_ms' must be at least 1e-06, the width of a bin in ms, got 0."),
        (
            {"counts": np.ones((1, 4, 2))},
            (
                "arrays: the split 'valid' must have trials, got none of 1. Give more trials, or other shares. "
                "Trials that are only to be inferred say 'test' in a column, named by 'split_column'."
            ),
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(arguments, text):
    with pytest.raises(lf.DataError, match=f"^{re.escape(text)}$"):
        lf.Recording.from_arrays(**{"counts": np.ones((12, 4, 2)), **arguments})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bin_ms": "20"}, "'bin_ms' must be a number, got '20'."),
        ({"bin_ms": float("nan")}, "'bin_ms' must be a number, got nan."),
        ({"valid": True}, "'valid' must be a number, got True."),
        ({"seed": 1.5}, "'seed' must be a whole number, got 1.5."),
        ({"last": 1}, "'last' must be True or False, got 1."),
        ({"bin_ms": np.timedelta64(20, "ms")}, f"'bin_ms' must be a number, got {np.timedelta64(20, 'ms')!r}."),
        ({"bin_ms": 10**400}, "'bin_ms' must be a number, got 1000"),
        ({"min_rate": float("inf")}, "'min_rate' must be a number, got inf."),
        ({"valid": np.zeros((2, 2))}, "'valid' must be a number, got array([[0., 0.], [0., 0.]])."),
        ({"keep_units": 3}, "'keep_units' must be a text, got 3."),
        ({"condition": ["side", 3]}, "'condition' must be a text, or a list of some, got ['side', 3]."),
        ({"overlaps": np.array(["keep"])}, "'overlaps' must be one of 'refuse', 'keep', got array(['keep'], dtype='<U4')."),
        ({"overlaps": "keeep"}, "'overlaps' must be one of 'refuse', 'keep', got 'keeep'."),
        ({"overlap": 20.0}, "'overlap' is of windows that chop a whole recording, got no 'window'. Say how long they are."),
        ({"window": 500, "event": "go"}, "'window' chops the whole recording, so it goes without 'event', got both. Give one of them."),
        ({"name": "../day 1"}, "'name' must be letters, digits, '_' and '-' of ASCII, for files are named by it, got '../day 1'. Such as 'day_1'."),
    ],
)
@pytest.mark.wrong_types
def test_an_option_of_another_type_is_refused_by_its_name(options, text):
    trials = {"start": np.arange(20.0), "stop": np.arange(20.0) + 0.8, "side": ["l", "r"] * 10}
    with pytest.raises(lf.ConfigError, match=f"^Recording: {re.escape(text)}[0.]*$"):
        lf.Recording.from_spikes({"a": np.arange(0, 20, 0.1)}, trials=trials, **options)


def test_numbers_of_any_library_are_options():
    trials = {"start": np.arange(20.0), "stop": np.arange(20.0) + 0.8}
    for width in (Fraction(40, 2), np.float32(20), np.int16(20)):
        made = lf.Recording.from_spikes({"a": np.arange(0, 20, 0.1)}, trials=trials, bin_ms=width, seed=np.int64(3), valid=Fraction(1, 4))
        assert type(made.bin_ms) is float
        assert made.bin_ms == 20
        assert {name: split.trials for name, split in made.session.splits.items()} == {"train": 15, "valid": 5}


@pytest.mark.wrong_types
def test_what_is_no_path_name_or_number_is_refused_before_anything_is_done(recording, settings, here):
    run = lf.run(recording, settings={**settings, "train.epochs": 1}, progress=False)
    before = sorted(here.rglob("*"))
    odd, seconds, path = np.ones((2, 2)), np.timedelta64(2, "s"), r"must be a path, got "
    calls = [
        (lambda: lf.load(3), rf"path: {path}3\."),
        (lambda: lf.load("a\0b"), rf"path: {path}'a"),
        (lambda: lf.load("\ud800"), rf"path: {path}'"),
        (lambda: lf.load(run.path, checkpoint=odd), r"checkpoint: must be a text, got array"),
        (lambda: lf.load(run.path, device=odd), r"device: must be a text, got array"),
        (lambda: lf.load(run.path, plugins=odd), r"plugins: must be a list"),
        (lambda: lf.run(recording, config=3), rf"config: {path}3\."),
        (lambda: lf.run(recording, runs=odd), rf"runs: {path}array"),
        (lambda: lf.run(recording, name=odd), r"lf\.run: 'name' must be a text, got array"),
        (lambda: lf.run(recording, plugin=3), r"plugin: must be a text, or a list of some, got 3\."),
        (lambda: recording.save(odd), rf"path: {path}array"),
        (lambda: recording.save("x.h5", overwrite=odd), r"overwrite: must be True or False, got array"),
        (lambda: recording.check(3), r"plugin: must be a text, or a list of some, got 3\."),
        (lambda: lf.Recording.from_file(odd), rf"path: {path}array"),
        (lambda: lf.Recording.from_mat(odd), rf"path: {path}array"),
        (lambda: lf.synthetic(odd), r"a synthetic must be called by its name, got array"),
        (lambda: lf.synthetic("lorenz", seed=True), r"seed: must be a whole number >= 0, got true\."),
        (lambda: run.compare(odd), rf"a run: {path}array"),
        (lambda: run.report(odd), rf"path: {path}array"),
        (lambda: run.to_nwb(odd), rf"path: {path}array"),
        (lambda: run.of(odd), r".*: must know the session array"),
        (lambda: run.outputs(odd), r".*: must know the session array"),
        (lambda: run.outputs("../other"), r".*: must know the session '\.\./other', got recording\."),
        (lambda: run.evaluate(few_shot=odd), r"few_shot: must be a whole number > 0, got array"),
        (lambda: run.generate(2, seed="x"), r"seed: must be a whole number >= 0, got 'x'\."),
        (lambda: run.infer(recording, samples=seconds), rf"samples: must be a whole number > 0, got {re.escape(repr(seconds))}\."),
        (lambda: run.infer(recording, distribution=odd), r"distribution: must be True or False, got array"),
        (lambda: run.adapt(recording, name=odd), r"'?name'?: must be the name of a folder .*, got array"),
    ]
    for call, text in calls:
        with pytest.raises(lf.LfadsError, match=f"^{text}") as raised:
            call()
        assert "\n" not in str(raised.value)
    assert sorted(here.rglob("*")) == before


def test_every_option_of_the_command_has_one_in_python():
    from typing import get_type_hints

    from lfads_core.front.options import FileOptions
    from lfads_plugins_lab.cli.make import chop, make
    from lfads_plugins_lab.front.recordings import _NAMES

    mine = {_NAMES.get(name, name) for name in get_type_hints(FileOptions)} | {"chop_ms", "overlap_ms", "no_stratify"}
    # Files of tables, and where to write, are arguments; a share of channels is held out when a run is made.
    elsewhere = {"sources", "output", "force", "trials", "series", "hold_out"}
    assert "stratify" in get_type_hints(FileOptions)
    assert {option.name for command in (make, chop) for option in command.params} - mine == elsewhere


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("times should be in seconds. Say --time-unit ms, or --time-unit s.", "times should be in seconds. Say time_unit='ms', or time_unit='s'."),
        ("a: --before must be whole bins. Lower --min-rate.", "a: 'before' must be whole bins. Lower 'min_rate'."),
        ("--min-rate 0.01 leaves such channels out.", "min_rate=0.01 leaves such channels out."),
        (
            "--units: must be a condition; --key stop=NAME, or --event-from-start.",
            "keep_units: must be a condition; key='stop=NAME', or event_from_start=True.",
        ),
        ("shorten it: --set a.b=18.", "shorten it: settings={'a.b': 18}."),
        ("Use --resume to continue it, or another --name.", "Go on with lf.load(...).resume(), or take another 'name'."),
        ("a -- b, --- c", "a -- b, --- c"),
    ],
)
def test_sentences_of_the_command_line_speak_of_pythons_options_in_python(said, meant):
    from lfads_core.front.words import in_python

    assert in_python(said) == meant


def test_notes_speak_of_pythons_options_too():
    notes = lf.Recording.from_arrays(np.zeros((12, 4, 2)), bin_ms=10).notes
    assert [problem.text for problem in notes] == ["channels 0, 1 of 2: no event in any window. min_rate=0.01 leaves such channels out."]


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ({1: np.arange(9.0), "1": np.arange(9.0)}, "spikes: each unit must have a name of its own, got 1, '1'. Rename them."),
        ({"a": ["x", "y"]}, "spikes: times of unit 'a' must be numbers, got ['x', 'y']. Mend them."),
    ],
)
def test_spike_times_that_are_none_are_refused(times, text):
    with pytest.raises(lf.DataError, match=f"^{re.escape(text)}$"):
        lf.Recording.from_spikes(times, trials={"start": np.arange(8.0)}, after=500)


def test_signals_beside_spike_times_are_decoded_in_the_bins_of_the_data():
    trials = {"start": np.arange(20.0), "stop": np.arange(20.0) + 0.8}
    clock = np.arange(0, 21, 0.001)
    hand = (clock, np.stack([clock, -clock], axis=1))
    spikes = {"a": np.arange(0, 20, 0.1), "b": np.arange(0.05, 20, 0.1)}
    made = lf.Recording.from_spikes(spikes, trials=trials, bin_ms=20, series={"hand": hand, "speed": (clock, clock)}, behaviour="hand")
    split = made.session.splits["train"]
    middles = split.extras["start_s"][:, None] + (np.arange(40) + 0.5) * 0.02
    np.testing.assert_allclose(split.extras["behavior"], np.stack([middles, -middles], axis=2), atol=1e-3)
    np.testing.assert_allclose(split.extras["speed"][..., 0], middles, atol=1e-3)


@pytest.mark.wrong_types
def test_signals_that_are_none_are_refused():
    spikes, trials, clock = {"a": np.arange(0, 20, 0.1)}, {"start": np.arange(20.0), "stop": np.arange(20.0) + 0.8}, np.arange(0, 21, 0.001)
    with pytest.raises(lf.ConfigError, match=r"^spikes: series: must be given by name, such as \{'hand': \('times', 'values'\)\}, got list\.$"):
        lf.Recording.from_spikes(spikes, trials=trials, series=[clock])
    for wrong, text in {
        "array": (clock, "spikes: the signal 'x' must be a pair of times (s) and values, got ndarray. Give both."),
        "short": (
            (clock, clock[:3]),
            "spikes: the signal 'x' must have a time for each sample, (samples,) and (samples, dimensions), got (21000,) and (3, 1).",
        ),
        "text": ((clock, "a"), "spikes: the signal 'x': its values must be numbers, got 'a'."),
    }.values():
        with pytest.raises(lf.DataError, match=f"^{re.escape(text)}"):
            lf.Recording.from_spikes(spikes, trials=trials, series={"x": wrong})


def test_bins_in_seconds_are_taken_for_a_mistake():
    made = lf.Recording.from_spikes({"a": np.arange(0, 9, 0.01)}, trials={"start": np.arange(8.0)}, after=0.8, bin_ms=0.02)
    assert made.notes[-1].text == "bins of 0.02 ms are narrower than a spike. Is their width in ms?"


def test_trials_of_no_split_and_no_condition_are_told():
    made = lf.Recording.from_arrays(np.ones((12, 4, 2)), split=["train", "valid", None] * 4)
    assert [problem.text for problem in made.notes] == ["4 of 12 trials are in no split: left out."]
    made = lf.Recording.from_arrays(np.ones((12, 4, 2)), conditions=["a", "a", None] * 4)
    assert [problem.text for problem in made.notes] == ["4 of 12 trials have no condition: they make one of their own."]


def test_an_option_that_is_none_is_refused_with_what_comes_near():
    with pytest.raises(lf.ConfigError, match=r"^Recording: must be given options that it has, got 'befor'\. Did you mean 'before'\?"):
        lf.Recording.from_spikes({"a": np.arange(10.0)}, trials={"start": [0.0]}, befor=3)


# runs


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"optim.lr": 1e-5, "model": {"generator": {"hidden": np.int64(3)}}}, ["optim.lr=1e-05", "model.generator.hidden=3"]),
        ({"model.controller": None, "infer.figures": False}, ["model.controller=null", "infer.figures=false"]),
        ({"components.ic_prior": {"name": "student-t"}, "train.only": ["a", "b"]}, ['components.ic_prior.name="student-t"', 'train.only=["a", "b"]']),
        ({"components.input_prior": "null"}, ['components.input_prior="null"']),
        ({"optim.clip": float("inf")}, ["optim.clip=.inf"]),
    ],
)
def test_settings_are_written_as_the_command_line_has_them(settings, texts):
    assert as_overrides(settings) == texts


def test_settings_in_python_and_on_the_command_line_come_to_the_same():
    registry = load_registry()
    mine = as_overrides({"optim": {"lr": 1e-3}, "components": {"input_prior": {"name": "student-t", "degrees": 4.0}}}, train__minutes=None)
    typed = ["optim.lr=1e-3", "components.input_prior.name=student-t", "components.input_prior.degrees=4"]
    assert resolve((), (), mine, registry) == resolve((), (), typed, registry)


def test_a_run_in_python_trains_what_the_command_trains_to_the_bit(recording, settings, here, end_state):
    run = lf.run(recording, settings=settings, hold_out=0.4, name="python", progress=False)
    from click.testing import CliRunner

    from lfads_core.cli.main import cli

    options = [part for text in as_overrides(settings) for part in ("--set", text)]
    done = CliRunner().invoke(cli, ["run", "runs/python/recordings/recording.h5", *options, "--hold-out", "0.4", "--name", "typed"])
    assert done.exit_code == 0, done.output
    assert numbers(end_state(run.path)) == numbers(end_state(here / "runs/typed"))
    assert repr(run).startswith("<Run 'python': recording; the best checkpoint; valid/bps ")


def test_names_of_runs_are_numbered_and_a_taken_one_is_refused(recording, settings, here):
    settings |= {"train.epochs": 1}
    first, second = (lf.run(recording, settings=settings, progress=False) for _ in range(2))
    assert (first.path.name, second.path.name) == ("recording", "recording-2")
    with pytest.raises(lf.RunError, match=r"^runs/recording: a new run needs a folder of its own"):
        lf.run(recording, settings=settings, name="recording", progress=False)
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["recording", "recording-2"]


@pytest.mark.parametrize("name", [None, "mine"])
def test_what_does_not_come_about_leaves_nothing_behind(name, here):
    lonely = lf.Recording.from_arrays(np.full((12, 4, 2), -1.0))
    with pytest.raises(lf.DataError, match="must hold counts"):
        lf.run(lonely, name=name, progress=False)
    assert not list((here / "runs").glob("*")) if (here / "runs").exists() else True


def test_wrong_settings_are_said_as_such(recording, here):
    with pytest.raises(lf.ConfigError, match=r"^settings: optim.lrr: no such setting. Did you mean optim.lr"):
        lf.run(recording, settings={"optim.lrr": 1})
    with pytest.raises(lf.ConfigError, match=r"^lf.run: must be given options that it has, got 'nam'. Did you mean 'name'"):
        lf.run(recording, nam="x")


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            np.ones((3, 4, 2)),
            (
                "recording: must be a Recording, a file, a folder or a pattern, or several of these, got ndarray. "
                "Arrays go through lf.Recording.from_arrays."
            ),
        ),
        (
            [np.ones(3)],
            (
                "recording: must be a Recording, a file, a folder or a pattern, or several of these, got ndarray. "
                "Arrays go through lf.Recording.from_arrays."
            ),
        ),
        ([], "recording: must be at least one, got an empty list."),
        ("twice", "recording: each must have a name of its own, got 'recording' twice. Give them names: from_arrays(..., name='monday')."),
    ],
)
def test_what_is_no_recording_is_refused(given, text, recording, here):
    with pytest.raises(lf.DataError, match=f"^{re.escape(text)}$"):
        lf.run([recording, recording] if isinstance(given, str) else given)
    assert list(here.iterdir()) == []


@pytest.mark.wrong_types
def test_settings_plugins_and_numbers_of_another_type_are_refused(recording, settings, here):
    with pytest.raises(lf.ConfigError, match=r"^settings: must be given by name, such as \{'optim\.lr': 0\.002\}, got list\.$"):
        lf.run(recording, settings=["optim.lr=1"])
    with pytest.raises(lf.ConfigError, match=r"^space: must be given by name, such as \{'optim\.lr': 'log:1e-4:1e-2'\}, got list\.$"):
        lf.search(recording, "random", space=["optim.lr"])
    with pytest.raises(lf.ConfigError, match=r"^seed: must be a whole number >= 0, got -1\.$"):
        lf.synthetic("lorenz", seed=-1)
    for name in "ab":
        recording.save(f"days/{name}.h5")
    with pytest.raises(lf.DataError, match=r"^days: must be one file, got 2\. Give them to lf\.run as they are, or open them one by one\.$"):
        lf.Recording.from_file("days")
    with pytest.raises(lf.PluginError, match=r"^plugins: must be a list, such as \[MyPrior\], got HalfNormal\.$"):
        lf.run(recording, plugins=HalfNormal)
    with pytest.raises(lf.DataError, match=r"^recording 'recording': 'train_recon_data' must hold counts"):  # its file is gone
        lf.run(lf.Recording.from_arrays(np.full((30, 8, 5), -1.0)), settings=settings, progress=False)
    run = lf.run(recording, settings={**settings, "train.epochs": 1}, progress=False)
    for number in (0, -1, 2.5):
        with pytest.raises(lf.ConfigError, match=rf"^trials: must be a whole number > 0, got {number}\.$"):
            run.generate(number)
        with pytest.raises(lf.ConfigError, match=rf"^samples: must be a whole number > 0, got {number}\.$"):
            run.infer(recording, samples=number)
    with pytest.raises(lf.ConfigError, match=r"must be a device of this machine .*, got 'gpu'"):
        lf.load(run.path, device="gpu")
    with pytest.raises(AttributeError) as raised:
        _ = run.rate
    assert (raised.value.name, raised.value.obj) == ("rate", run)  # by which Python finds what was meant


def test_trials_that_are_only_inferred_need_no_training_split_and_leave_nothing_but_the_file(recording, settings, here):
    run = lf.run(recording, settings={**settings, "train.epochs": 1}, progress=False)
    before = sorted(path.name for path in run.path.iterdir())
    counts = np.random.default_rng(1).poisson(1.0, (1, 8, 5))
    one = lf.Recording.from_arrays(counts, bin_ms=10.0, split=["test"], name="one")
    assert one.notes[0].text == "no trial is for training or validation: a trained model can infer these trials, none can be trained."
    found = run.infer(one)
    assert found["split"].values.tolist() == ["test"]
    np.testing.assert_array_equal(found["data"].values, counts)
    with pytest.raises(lf.DataError, match=r"^recording 'one': must have the channels and the bins that the model was trained on, got bins of 20 ms"):
        run.infer(lf.Recording.from_arrays(counts, bin_ms=20.0, split=["test"], name="one"))
    assert sorted(path.name for path in run.path.iterdir()) == sorted([*before, "inferred"])
    with pytest.raises(lf.DataError, match=r"^recording 'one': .*train"):
        lf.run(one, settings=settings, progress=False)


def test_files_patterns_and_several_recordings_share_a_model(recording, settings, here):
    recording.save("days/one.h5")
    rng = np.random.default_rng(1)
    two = lf.Recording.from_arrays(rng.poisson(1.0, (20, 8, 4)), bin_ms=10.0, name="two")
    run = lf.run(["days/*.h5", two], settings={**settings, "components.readin": "linear"}, name="both", progress=False)
    assert run.sessions == ["one", "two"]
    with pytest.raises(lf.RunError, match=re.escape("runs/both: which session must be said, such as run.of('one'), got none of one, two.")):
        _ = run.rates
    assert run.of("two").rates.shape == (20, 8, 4)
    with pytest.raises(lf.RunError, match=re.escape("runs/both: must know the session 'three', got one, two. Name one of these.")):
        run.of("three")


def test_an_interrupted_run_is_saved_and_returned_and_goes_on(recording, settings, here, monkeypatch, capsys, end_state):
    """The first signal comes within the second epoch; what is on from there ends as an uninterrupted run does."""
    whole = lf.run(recording, settings=settings, epochs=4, name="whole", progress=False)
    assert len(whole.columns()["epoch"]) == 4
    calls = iter(range(100))
    told = StopWish.__call__

    def ask(self):
        if next(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return told(self)

    monkeypatch.setattr(StopWish, "__call__", ask)
    run = lf.run(recording, settings=settings, epochs=4, name="cut")
    assert "interrupted; everything is saved in runs/cut. Go on with run.resume()" in capsys.readouterr().out
    assert run.run.read_state()["status"] == "interrupted"
    assert len(run.columns()["epoch"]) < 4
    assert run.rates.shape == (30, 8, 5)  # of the weights so far
    monkeypatch.undo()
    monkeypatch.chdir(here)
    on = run.resume(progress=False)
    assert numbers(end_state(on.path)) == numbers(end_state(whole.path))
    assert len(on.resume(epochs=5, progress=False).columns()["epoch"]) == 5


def test_an_interrupt_while_rates_are_inferred_gives_the_run_too(recording, settings, here, monkeypatch):
    import lfads_core.pipeline.run as pipeline

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "finish", stop)
    run = lf.run(recording, settings={**settings, "train.epochs": 1}, name="cut", progress=False)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert run.run.read_state()["status"] == "interrupted"
    assert run.factors.shape == (30, 8, 3)


def test_an_adapted_run_is_a_run(recording, settings, here):
    parent = lf.run(recording, settings={**settings, "components.readin": "linear", "train.epochs": 1}, progress=False)
    new = lf.Recording.from_arrays(np.random.default_rng(2).poisson(1.0, (20, 8, 4)), bin_ms=10.0, name="tomorrow")
    run = parent.adapt(new, epochs=3, progress=False)
    assert (run.path.name, run.sessions) == ("recording-tomorrow", ["recording", "tomorrow"])
    assert len(run.columns()["epoch"]) == 3
    assert run.of("tomorrow").rates.shape == (20, 8, 4)


def test_load_opens_what_run_made(recording, settings, here):
    run = lf.run(recording, settings=settings, progress=False)
    again = lf.load("runs/recording")
    for name, values in run.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], values)
    assert isinstance(again, lf.TrainedRun)
    assert lf.load("runs/recording", "last").checkpoint == "last"


# plugins that are no package


class HalfNormal(AbstractPrior):
    """A prior of a notebook."""

    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def kl(self, mean, std, draw):
        return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).flatten(1).sum(1)

    def generate(self, like, rng):
        return self.draw(like, rng)["normal"].abs()


GIVEN = {
    "class": (HalfNormal, "half-normal"),
    "record": (PriorSpec(name="mine", summary="x", config=NoSettings, build=lambda _, dims: HalfNormal(dims)), "mine"),
    "module": (
        types.SimpleNamespace(
            lfads_priors=hookimpl(lambda: [PriorSpec(name="ours", summary="x", config=NoSettings, build=lambda _, d: HalfNormal(d))])
        ),
        "ours",
    ),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_a_plugin_of_the_notebook_is_trained_with_and_loaded_again(kind, recording, settings, here):
    given, name = GIVEN[kind]
    run = lf.run(recording, settings={**settings, "components.ic_prior": name, "train.epochs": 1}, plugins=[given], name=kind, progress=False)
    assert isinstance(run.model.ic_prior, HalfNormal)
    assert run.generate(3).sizes["trial"] == 3
    with pytest.raises(lf.ConfigError, match=f"no prior named '{name}'"):
        lf.load(f"runs/{kind}")
    assert isinstance(lf.load(f"runs/{kind}", plugins=[given]).model.ic_prior, HalfNormal)


def test_what_is_no_plugin_is_refused(recording, here):
    text = "plugins=[int]: must be a module or object with hooks (@hookimpl), a record such as a PriorSpec, or a component's class, got none of them"
    with pytest.raises(lf.PluginError, match=f"^{re.escape(text)}$"):
        lf.run(recording, plugins=[int])
    taken = PriorSpec(name="normal", summary="x", config=NoSettings, build=lambda _, dims: HalfNormal(dims))
    with pytest.raises(lf.ConfigError, match=r"^components\.ic_prior: 2 plugins offer the prior 'normal': .* Say which, 'lfads-plugins-std:normal'"):
        lf.run(recording, plugins=[taken])


def test_a_method_of_runs_may_come_from_a_plugin(recording, settings, here):
    spec = FunctionSpec(name="run-mean-rate", summary="x", call=lambda run, *, scale=1.0: scale * float(run.rates.mean()))
    run = lf.run(recording, settings={**settings, "train.epochs": 1}, plugins=[spec], progress=False)
    assert run.mean_rate(scale=2.0) == pytest.approx(2 * float(run.rates.mean()))
    with pytest.raises(AttributeError, match=r"^a run has no 'median_rate', and no plugin offers 'run-median_rate'$"):
        _ = run.median_rate


@pytest.mark.long
def test_without_the_package_that_brings_it_a_method_says_which_does(recording, settings, here):
    """Core and the standard components train; arrays and tables come from lab."""
    registry = Registry.from_plugins(
        {name: __import__(f"lfads_plugins_{name}.plugin", fromlist=["x"]) for name in ("std",)}
        | {"core": __import__("lfads_core.builtin", fromlist=["x"])}
    )
    recording.save("a.h5")
    settings = {key: value for key, value in settings.items() if not key.startswith("track")}
    run = lf.run("a.h5", settings={**settings, "train.epochs": 1}, progress=False)
    from lfads_core.front.run import load

    (here / "runs/a/config.yaml").write_text("\n".join(line for line in (here / "runs/a/config.yaml").read_text().splitlines()))
    bare = load("runs/a", registry=registry)
    with pytest.raises(
        lf.PluginError, match=r"^no function named 'run-results'\. Installed: none\. lfads-plugins-lab offers it: pip install lfads-plugins-lab$"
    ):
        _ = bare.rates
    assert run.rates.shape == (30, 8, 5)


# a notebook


@pytest.fixture
def cell(monkeypatch):
    """A kernel that runs this process, as far as it can be told; what is displayed is kept."""
    shown = []

    class Handle:
        def update(self, bundle, *, raw):
            assert raw
            shown.append(bundle)

    def display(bundle, *, raw, display_id):
        assert raw
        assert display_id
        shown.append(bundle)
        return Handle()

    package = types.ModuleType("IPython")
    package.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    package.display = types.ModuleType("IPython.display")
    package.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", package.display)
    return shown


def test_in_a_notebook_a_table_is_drawn_over_and_lines_stand_beside_it(cell, recording, settings, here, capsys):
    run = lf.run(recording, settings=settings)
    out = capsys.readouterr().out
    assert "training ended after 5 epochs" in out
    assert "epoch 1/5" not in out
    assert cell[0] == {"text/plain": "starting"}
    assert len(cell) == 6
    assert "5/5" in cell[-1]["text/plain"]
    assert "<pre" in cell[-1]["text/html"]
    assert run.run.read_state()["status"] == "finished"


def test_a_cell_that_takes_no_more_stops_nothing(cell, monkeypatch, recording, settings, here):
    monkeypatch.setattr(sys.modules["IPython.display"], "display", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("gone")))
    assert lf.run(recording, settings={**settings, "train.epochs": 1}).rates.shape == (30, 8, 5)


def test_outside_a_notebook_nothing_of_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    screen = Screen()
    screen.start()
    assert not screen.is_live


def test_json_state_is_not_touched_by_looking(recording, settings, here):
    run = lf.run(recording, settings={**settings, "train.epochs": 1}, progress=False)
    before = json.loads((run.path / "run.json").read_text())
    repr(run)
    partial(run.plot.training)
    assert json.loads((run.path / "run.json").read_text()) == before
