"""``lfads run``, ``infer`` and ``generate`` as commands: wrong inputs, dry runs, closed pipes, missing extras."""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, [str(part) for part in arguments])


def sets(settings):
    return [part for setting in settings for part in ("--set", setting)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothere.h5"], "nothere.h5: must be a file, a folder or a pattern, found nothing there. Check the path."),
        (["a.yaml"], "DATA: at least one recording must be given, got none. Try `lfads run data.h5`, or `lfads demo` for data made on the spot."),
        ([], "DATA: at least one recording must be given, got none. Try `lfads run data.h5`, or `lfads demo` for data made on the spot."),
        (["empty"], "empty: must hold a recording (*.h5, *.hdf5, *.hdf, *.he5), found an empty folder. Name a file."),
        (["text.h5"], "text.h5: must be an HDF5 file, got something else. Convert it, or install a plugin that reads it."),
        (["tiny.h5", "--set", "optim.lr"], "--set: must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got 'optim.lr'"),
        (
            ["tiny.h5", "--hold-out", "0.1"],
            (
                "tiny.h5: data.hold_out.fraction must hold out at least one of 5 channels and leave one, got 0.1, which holds out 0. "
                "Choose a fraction of at least 0.2 and below 1."
            ),
        ),
        (
            ["tiny.h5", "--set", "data.batch_size=4", "--name", "a/b"],
            (
                "--name: must be the name of a folder (at most 100 letters, digits and '_-+. ', beginning with a letter or digit), got 'a/b'. "
                "Give the folder of all runs with --runs."
            ),
        ),
        (
            ["tiny.h5", "--resume", "runs/x"],
            "--resume: takes data, plugins and name from the run itself, got more. Give only --resume RUN, and --set to train longer.",
        ),
        (["--resume", "runs/x"], "runs/x: must be a run's folder, holding run.json, got nothing. Give a folder that `lfads run` made."),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing_behind(arguments, text, invoke, write_tiny, tmp_path):
    write_tiny()
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "a.yaml").write_text("train: {epochs: 1}\n")
    done = invoke("run", *arguments)
    assert (done.exit_code, done.stderr) == (2, f"error: {text}\n")
    assert not (tmp_path / "runs").exists()


def test_a_batch_that_does_not_fit_shrinks_with_a_note(invoke, write_tiny, tiny_settings, tmp_path):
    write_tiny()
    done = invoke("run", "tiny.h5", *sets([*tiny_settings, "data.batch_size=64", "train.epochs=2"]))
    assert done.exit_code == 0
    assert "data.batch_size: 64 trials do not fit, for there are 12 training trials: each step takes all of them.\n" in done.stdout
    assert len((tmp_path / "runs/tiny/fitlog.csv").read_text().splitlines()) == 3


def test_an_unknown_plugin_is_one_line(invoke, write_tiny, tmp_path):
    done = invoke("run", write_tiny(), "--plugin", "nosuch")
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "'nosuch'" in line
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_prints_settings_that_give_the_same_and_writes_nothing(invoke, write_tiny, tiny_settings, tmp_path):
    done = invoke("run", write_tiny(), "--dry-run", *sets(tiny_settings))
    assert done.exit_code == 0, done.stderr
    (tmp_path / "a.yaml").write_text(done.stdout)
    assert invoke("run", tmp_path / "tiny.h5", tmp_path / "a.yaml", "--dry-run").stdout == done.stdout
    assert not (tmp_path / "runs").exists()


def test_run_infer_and_generate_say_where_things_are(invoke, write_tiny, tiny_settings):
    done = invoke("run", write_tiny(), *sets(tiny_settings))
    assert done.exit_code == 0, done.output
    assert "rates and factors: runs/tiny/lfads_output_tiny.h5" in done.stdout
    assert "load in Python:    lfads_core.load('runs/tiny')" in done.stdout
    assert invoke("infer", "runs/tiny", "--means").stdout == "rates and factors: runs/tiny/lfads_output_tiny.h5\n"
    assert invoke("infer", "runs/tiny", "--samples", 2, "-o", "x.h5").stdout == "rates and factors: x.h5\n"
    assert invoke("generate", "runs/tiny", "-n", 3).stdout == "prior samples: runs/tiny/lfads_prior_samples.h5\n"
    both = invoke("infer", "runs/tiny", "--means", "--samples", 2)
    assert (both.exit_code, both.stderr) == (2, "error: --samples, --means: exclude each other, got both. Give one of them.\n")


@pytest.mark.long
def test_a_reader_that_goes_away_does_not_stop_the_training(lfads, write_tiny, tiny_settings, tmp_path):
    process = lfads("run", write_tiny(), *sets(tiny_settings), stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    assert (process.wait(), stderr) == (0, "")
    assert (tmp_path / "runs/tiny/lfads_output_tiny.h5").exists()


@pytest.mark.long
def test_without_extras_a_run_works_and_says_what_they_would_add(lfads, write_tiny, tiny_settings, tmp_path):
    wanted = [setting for setting in tiny_settings if not setting.startswith(("track", "infer.figures"))]
    process = lfads("run", write_tiny(), *sets(wanted), without=("matplotlib", "mlflow", "ray"))
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "lfads-core[plot]" in output
    assert "lfads-core[track]" in output
    assert "Traceback" not in output
    assert (tmp_path / "runs/tiny/lfads_output_tiny.h5").exists()
