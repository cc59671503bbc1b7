"""Collections of real trainings in processes of their own: carried out, cut off, killed, taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_plugins_tune.collection import control
from lfads_plugins_tune.collection.control import read_queue
from lfads_plugins_tune.collection.job import _command, do_run
from lfads_plugins_tune.collection.state import read_job, standing, state_of, tail
from lfads_plugins_tune.search.state import read_state, write_state

LONG = {"train": {"epochs": 100_000, "early_stopping": None}, "optim": {"decay": 0.99999}}


@pytest.fixture
def environment(tmp_path):
    """Processes find no matplotlib: figures take ten times as long as everything else."""
    fake = tmp_path / "site" / "matplotlib"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise ImportError('left out of this test')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))}


@pytest.fixture
def command(environment, tmp_path):
    """``command("start", "sweep")`` is ``lfads collection start sweep`` as a process."""
    started = []

    def start(*arguments, **more):
        words = [sys.executable, "-m", "lfads_core.cli.main", "collection", *map(str, arguments)]
        more = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "cwd": tmp_path,
            "env": environment,
            "start_new_session": True,
            **more,
        }
        started.append(subprocess.Popen(words, **more))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def sweep(prepared):
    """Two long trainings, ended whatever happens."""
    made = []

    def make(**spec):
        made.append(prepared(**spec)[0])
        return made[-1]

    yield make
    for collection in made:
        control.stop(collection, now=True)


@pytest.fixture
def long(nested_settings):
    """Tiny settings of a training that does not end by itself."""
    return {**nested_settings, "train": {**nested_settings["train"], **LONG["train"]}, "optim": LONG["optim"]}


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def epochs_done(entry):
    return len(entry.run.fitlog.read_text().splitlines()) - 1 if entry.run.fitlog.exists() else 0


def test_a_job_trains_in_this_process_and_its_log_tells_all(prepared, capfd):
    made, _ = prepared(data={"each": ["../sessions/a.h5"]})
    (entry,) = made.entries()
    assert do_run(made, entry) == 0
    assert standing(entry).status == "done"
    job = read_job(entry)
    assert (job.attempt, job.exit, job.pid, job.command[0]) == (1, 0, os.getpid(), "run")
    assert job.peak > 10**7
    lines = entry.log_path.read_text().splitlines()
    assert lines[1].startswith("== attempt 1, ")
    assert lines[2] == f"$ lfads run {made.path.parent}/sessions/a.h5 {entry.run.config_path} --runs {made.runs_path} --name a"
    assert any("training ended after 5 epochs" in line for line in lines)
    assert do_run(made, entry) == 0  # done already
    assert read_job(entry).attempt == 1


def test_a_job_that_fails_says_why_in_its_log_and_its_exit_code(prepared):
    made, _ = prepared(data={"each": ["../sessions/a.h5"]}, settings={"data": {"hold_out": {"fraction": 0.1}}})
    (entry,) = made.entries()
    done = CliRunner().invoke(cli, ["collection", "job", str(made.path), "a"])
    assert done.exit_code == 2
    state = standing(entry)
    assert state.status == "failed"
    assert state.note.endswith(
        "a.h5: data.hold_out.fraction must hold out at least one of 5 channels and leave one, got 0.1, which holds out 0. "
        "Choose a fraction of at least 0.2 and below 1."
    )
    assert tail(entry, 1) == [f"error: {state.note}"]


def test_a_job_whose_data_have_changed_does_not_begin(prepared, write_tiny):
    made, _ = prepared(data={"each": ["../sessions/a.h5"]})
    write_tiny("sessions/a.h5", seed=5)
    assert CliRunner().invoke(cli, ["collection", "job", str(made.path), "--index", "0"]).exit_code == 2
    assert standing(made.entry("a")).note.startswith(f"{made.path}/runs/a: the data must be those the run was prepared for")
    assert not made.entry("a").run.state_path.exists()


def test_a_fault_of_ours_keeps_its_traceback_in_the_log(prepared, monkeypatch):
    from lfads_plugins_tune.collection import job

    made, _ = prepared(data={"each": ["../sessions/a.h5"]})
    monkeypatch.setattr(job, "_call", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        do_run(made, made.entry("a"))
    assert read_job(made.entry("a")).exit == 1
    assert tail(made.entry("a"), 1) == ["ZeroDivisionError: division by zero"]
    assert standing(made.entry("a")).note == "ZeroDivisionError: division by zero"


def test_what_an_attempt_that_never_began_has_left_is_cleared_away(prepared):
    made, _ = prepared(data={"each": ["../sessions/a.h5"]})
    (entry,) = made.entries()
    (entry.run.path / "fitlog.csv").write_text("epoch,valid/recon\n0,1.0\n")
    (entry.run.path / "checkpoints").mkdir()
    (entry.run.path / "checkpoints" / "best.json").write_text("{")
    assert do_run(made, entry) == 0
    assert epochs_done(entry) == 5


def test_what_a_job_tells_lfads(prepared, search_state, tmp_path):
    made, _ = prepared(data={"each": ["../sessions/a.h5"]}, variants={"plain": {}, "tuned": {"search": "pbt", "executor": "serial"}})
    plain, tuned = made.entries()
    data, runs = str(tmp_path / "sessions" / "a.h5"), str(made.runs_path)

    def told(entry, *, again=False):
        return _command(made, entry, again=again)

    assert told(plain) == ["run", data, str(plain.run.config_path), "--runs", runs, "--name", "a__plain"]
    assert told(tuned) == ["search", "pbt", data, str(tuned.run.config_path), "--runs", runs, "--name", "a__tuned", "--executor", "serial"]
    plain.run.update_state(status="interrupted", data=["where/it/was.h5"])
    assert told(plain) == ["run", "--resume", str(plain.run.path)]
    assert plain.run.data == [data]
    write_state(tuned.run.path, search_state(status="interrupted", data=("where/it/was.h5",)))
    assert told(tuned) == ["search", "resume", str(tuned.run.path), "--executor", "serial"]
    assert told(tuned, again=True) == ["search", "retry", str(tuned.run.path), "--executor", "serial"]
    assert read_state(tuned.run.path).data == (data,)


@pytest.mark.slow
def test_a_search_is_carried_out_cut_off_and_gone_on_with(sweep, command, until, nested_settings):
    search = {"members": 2, "interval": 2, "burn_in": 4, "min_improvement": None}
    settings = {**nested_settings, "search": search, "train": {**nested_settings["train"], "epochs": 120, "early_stopping": None}}
    made = sweep(search="pbt", settings=settings, data={"each": ["../sessions/a.h5"]})
    (entry,) = made.entries()
    first = command("start", "sweep")
    until(lambda: entry.journal_path.exists() and (state_of(entry).epochs or 0) > 6, seconds=240)
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 130
    assert standing(entry).status == "interrupted"
    config = entry.run.config_path.read_text()
    done, _ = command("start", "sweep", "--jobs", 1).communicate()
    assert done.splitlines()[-1] == "1 runs: 1 done", done
    assert entry.run.config_path.read_text() == config
    assert read_job(entry).command == ["search", "resume", str(entry.run.path)]
    assert list((entry.run.path / "best").glob("lfads_output_*.h5"))
    table = command("table", "sweep", "--csv").communicate()[0].splitlines()
    assert "valid/bps" in table[0]
    assert table[1].startswith("a,a,done,120,")


@pytest.mark.slow
def test_a_collection_is_carried_out_and_its_scores_compared(sweep, command):
    made = sweep(vary={"optim.lr": [1e-3, 4e-3]})
    process = command("start", "sweep", "--jobs", 2, "--memory", "4GB")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "4 runs: 4 done"
    assert [standing(entry).status for entry in made.entries()] == ["done"] * 4
    table = command("table", "sweep", "--csv").communicate()[0].splitlines()
    assert len(table) == 5
    assert table[0].startswith("run,dataset,optim.lr,status,epochs,best_cost,valid/bps")
    again, _ = command("start", "sweep").communicate()
    assert again == "4 runs: 4 done\n"


@pytest.mark.slow
def test_a_queue_in_the_background_survives_its_starter_and_ends_on_request(sweep, command, until, long):
    made = sweep(settings=long)
    starter = command("start", "sweep", "--jobs", 2, "--detach")
    output, _ = starter.communicate()
    queue = read_queue(made)
    assert output.splitlines() == [
        f"working in the background (process {queue.pid}); it writes to sweep/queue.log",
        "next: lfads collection status sweep",
    ]
    entries = made.entries()
    until(lambda: all(epochs_done(entry) > 3 for entry in entries), seconds=240)
    with pytest.raises(ProcessLookupError):  # the session of the starter is gone: nothing of it is left to disturb
        os.killpg(starter.pid, signal.SIGHUP)
    assert os.getsid(queue.pid) == queue.pid
    refused, _ = command("start", "sweep").communicate()
    assert refused.startswith(f"error: sweep: one queue may work on a collection, but process {queue.pid} on ")
    found = json.loads(command("status", "sweep", "--json").communicate()[0])
    assert found["queue"]["pid"] == queue.pid
    assert [run["status"] for run in found["runs"]] == ["running", "running"]
    jobs = [read_job(entry) for entry in entries]
    stopped, _ = command("stop", "sweep").communicate()
    assert stopped == "stopped 2 runs; go on with: lfads collection start sweep\n"
    assert [standing(entry).status for entry in entries] == ["interrupted", "interrupted"]
    assert [entry.run.read_state()["status"] for entry in entries] == ["interrupted", "interrupted"]
    until(lambda: all(is_gone(pid) for pid in [queue.pid, *(job.pid for job in jobs)]))
    assert command("wait", "sweep").wait() == 1
    assert "interrupted: a" in made.queue_log.read_text()


@pytest.mark.slow
def test_after_the_queue_was_killed_its_runs_train_on_and_a_new_queue_takes_them_over(sweep, command, until, long):
    made = sweep(settings=long)
    entries = made.entries()
    first = command("start", "sweep", "--jobs", 2)
    until(lambda: all(epochs_done(entry) > 3 for entry in entries), seconds=240)
    pids = [read_job(entry).pid for entry in entries]
    first.kill()
    first.wait()
    before = [epochs_done(entry) for entry in entries]
    second = command("start", "sweep", "--jobs", 2, "--grace", 60)
    said = ""
    while said.count("still at work") < 2:
        line = second.stdout.readline()
        assert line, said
        said += line
    assert [read_job(entry).pid for entry in entries] == pids  # not begun again
    until(lambda: all(epochs_done(entry) > count for entry, count in zip(entries, before, strict=True)))
    os.kill(pids[0], signal.SIGKILL)  # as the system would that has run out of memory; nobody sees it fail, so it goes on
    until(lambda: "--resume" in read_job(entries[0]).command, seconds=240)
    count = epochs_done(entries[0])
    until(lambda: epochs_done(entries[0]) > count + 5, seconds=240)
    second.send_signal(signal.SIGINT)
    rest, _ = second.communicate()
    assert second.returncode == 130
    assert "stopping: 2 runs save and end" in rest
    assert rest.splitlines()[-1] == "2 runs: 2 interrupted"
    assert read_job(entries[0]).attempt == 2
    until(lambda: all(is_gone(pid) for pid in pids))
    epochs = [int(line.split(",")[0]) for line in entries[0].run.fitlog.read_text().splitlines()[1:]]
    assert epochs == list(range(len(epochs)))  # every epoch once


@pytest.mark.slow
def test_ctrl_c_and_a_closed_terminal_on_a_real_terminal(sweep, environment, tmp_path, until, long):
    """The queue's terminal goes away while it works: it and its runs go on, and `stop` ends them."""
    import pty

    made = sweep(settings=long, data={"each": ["../sessions/a.h5"]})
    (entry,) = made.entries()
    ours, theirs = pty.openpty()
    own_terminal = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.executable, [sys.executable, '-m', 'lfads_core.cli.main', 'collection', 'start', 'sweep', '--jobs', '1'])"
    )
    words = [sys.executable, "-c", own_terminal]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment)
    os.close(theirs)
    until(lambda: epochs_done(entry) > 3, seconds=240)
    os.close(ours)  # hang up: the system sends SIGHUP, and whatever is written fails
    count = epochs_done(entry)
    until(lambda: epochs_done(entry) > count + 20, seconds=120)
    assert process.poll() is None
    assert control.is_working(made)
    assert control.stop(made, now=False) == 1
    assert process.wait() == 130
    assert standing(entry).status == "interrupted"
