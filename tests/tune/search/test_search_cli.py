"""``lfads search`` as processes of their own: the whole way, kill -9 at any moment, Ctrl-C, and what is said when something is wrong."""

from __future__ import annotations

import json
import random
import re
import signal
import time

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_plugins_tune.search.state import read_state


@pytest.fixture
def arguments(write_tiny, tiny_settings, tmp_path):
    """``arguments("pbt", "--members", 3)``: a search of tiny models for three generations."""

    def make(kind, *more, name="s"):
        settings = (*tiny_settings, "train.epochs=6", "search.interval=2", "search.min_improvement=null")
        sets = [part for setting in settings for part in ("--set", setting)]
        return ["search", kind, str(write_tiny()), "--runs", str(tmp_path / "runs"), "--name", name, *map(str, more), *sets]

    return make


@pytest.fixture
def outcome(tmp_path):
    """Everything about a search in ``runs/<name>`` that an interruption must not change."""

    def read(name):
        folder = tmp_path / "runs" / name
        state = json.loads((folder / "search.json").read_text())
        for key in ("seconds", "executor"):
            state.pop(key)
        found = {"state": state}
        for path in sorted(folder.glob("members/*/checkpoints/last.json")):
            manifest = json.loads(path.read_text())
            manifest["state"]["progress"].pop("seconds")
            found[path.parts[-3]] = (manifest["state"]["progress"], manifest["sha256"])
        lines = (folder / "fitlog.csv").read_text().splitlines()
        drop = lines[0].split(",").index("seconds")
        found["rows"] = sorted([cell for i, cell in enumerate(line.split(",")) if i != drop] for line in lines)
        return found

    return read


def run(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    return result.exit_code, result.output


def wait_for(process, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["serial", "batched"])
def test_killed_at_random_moments_a_search_ends_as_one_that_was_left_alone(executor, lfads, arguments, outcome, tmp_path):
    whole = lfads(*arguments("pbt", "--members", 3, "--executor", executor, name="whole"))
    assert whole.wait() == 0, whole.stdout.read()
    rng, folder = random.Random(0), tmp_path / "runs/killed"
    process = lfads(*arguments("pbt", "--members", 3, "--executor", executor, name="killed"))
    for _ in range(3):
        _wait_for_changes(process, folder, rng.randrange(1, 8))
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        assert "status: stopped without a word" in run("search", "status", folder)[1]
        process = lfads("search", "resume", folder)
    assert process.wait() == 0, process.stdout.read()
    assert outcome("killed") == outcome("whole")


def _wait_for_changes(process, folder, number):
    """Wait until the journal and the table have changed so often since the process began."""

    def look():
        paths = [path for path in (folder / "search.json", folder / "fitlog.csv") if path.exists()]
        return [(path.stat().st_mtime_ns, path.stat().st_size) for path in paths]

    seen, changes = look(), 0
    while changes < number:
        assert process.poll() is None, process.stdout.read()
        now = look()
        changes, seen = changes + (now != seen), now
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "batched"])
def test_an_interrupted_search_says_how_to_go_on_and_goes_on(executor, lfads, arguments, outcome, tmp_path):
    whole = lfads(*arguments("pbt", "--members", 3, "--executor", executor, name="whole"))
    assert whole.wait() == 0
    process = lfads(*arguments("pbt", "--members", 3, "--executor", executor, name="a b"))
    log = tmp_path / "runs/a b/fitlog.csv"
    wait_for(process, lambda: log.exists() and len(log.read_text().splitlines()) > 8)
    process.send_signal(signal.SIGINT)
    *_, last = process.stdout.read().splitlines()
    assert process.wait() == 130
    folder = tmp_path / "runs" / "a b"
    assert last == f"interrupted; everything is saved. Go on with: lfads search resume '{folder}'"
    assert "status: interrupted" in run("search", "status", folder)[1]
    resumed = lfads("search", "resume", folder)
    assert resumed.wait() == 0, resumed.stdout.read()
    assert outcome("a b") == outcome("whole")


@pytest.mark.slow
def test_one_process_drives_a_search_and_status_can_be_asked_meanwhile(lfads, arguments, tmp_path):
    folder = tmp_path / "runs/s"
    process = lfads(*arguments("pbt", "--members", 3, "--epochs", 5000))
    wait_for(process, (folder / "fitlog.csv").exists)
    code, said = run("search", "status", folder)
    assert (code, "status: running" in said) == (0, True)
    code, said = run("search", "resume", folder)
    assert code == 2
    assert said == (f"error: {folder}: one process may train in a run's folder, but another one does. Wait for it, or choose another --name.\n")
    process.kill()


def test_a_dry_run_prints_what_would_be_searched_and_writes_nothing(arguments, tmp_path):
    code, said = run(*arguments("pbt", "--members", 10, "--space", "optim.lr=log:1e-4:1e-2:init=1e-3", "--dry-run"))
    assert code == 0
    lines = said.splitlines()
    assert lines[1:4] == [
        "pbt: 10 members, 3 generations, 6 epochs each",
        "compared by the least valid/masked_smooth, each member judged by validation.judge=masked",
        "compared first after 2 epochs, then every 2",
    ]
    assert "  optim.lr = log:0.0001:0.01:init=0.001" in lines
    assert lines[-1] == "... and 2 more"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--space", "optim.lrr=log:1:2"], "search.spaces: optim.lrr: no such setting here. Did you mean optim.lr or optim.min_lr?"),
        (["--space", "model.dropout=uniform:0:2"], "search.spaces: model.dropout: must be >= 0 and < 1, got 2.0"),
        (["--space", "model.dropout"], "--space: must be PATH=SPACE, with SPACE one of"),
        (["--executor", "serial", "--address", "auto"], "--address: is for --executor ray, got --executor serial. Leave one of them out."),
        (["--burn-in", "9"], "search.burn_in: must end before the search does, after train.epochs (6), got 9 epochs."),
    ],
)
def test_what_cannot_be_searched_is_one_sentence_and_exit_code_2(more, message, arguments):
    code, said = run(*arguments("pbt", *more))
    assert code == 2
    assert f"error: {message}" in said


def test_without_data_it_says_so():
    assert run("search", "pbt") == (2, "error: DATA: at least one recording must be given, got none. Try `lfads search pbt data.h5`.\n")


def test_what_is_no_search_says_so(tmp_path):
    what = f"error: {tmp_path}/search.json: must be the journal of a search, got: No such file or directory."
    message = f"{what} Give a folder that `lfads search` made, or restore it.\n"
    for command in ("status", "resume", "retry", "best"):
        assert run("search", command, tmp_path) == (2, message)


def test_a_grid_from_the_command_line_to_its_status_and_best(arguments, tmp_path):
    code, said = run(*arguments("grid", "--space", "optim.lr=choice:1e-3,1e-2", "--epochs", 2, "--executor", "serial"))
    assert code == 0, said
    folder = tmp_path / "runs/s"
    state = read_state(folder)
    assert [m.values["optim.lr"] for m in state.members] == [1e-3, 1e-2]
    assert "search ended after 1 generations: every generation is done" in said
    assert re.search(rf"load in Python: +lfads_core\.load\('{folder}/best'\)", said)
    code, said = run("search", "status", folder)
    assert (code, "status: finished" in said, f"best: member {state.best.member} in {folder}/best" in said) == (0, True, True)
    assert "search resume" not in said
    code, said = run("search", "best", folder)
    assert (code, f"member {state.best.member} is the best" in said) == (0, True)
