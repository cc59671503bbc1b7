"""The queue: how many runs at a time, on which GPU, with how much memory; what happens when one fails or all shall end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lfads_core.errors import RunError
from lfads_core.locks import holding, is_held
from lfads_plugins_tune.collection import control, queue
from lfads_plugins_tune.collection.change import retry
from lfads_plugins_tune.collection.queue import Limits, Queue
from lfads_plugins_tune.collection.state import read_job, standing, write_job
from lfads_plugins_tune.jobs.memory import end_family, free_memory, used_memory, whole_memory


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(queue, "TICK", 0.02)
    monkeypatch.setattr(queue, "SCAN", 0.1)


@pytest.fixture
def work(prepared):
    """``work(sweep, jobs=2)`` is a queue in this process; it returns the counts and what was said."""

    def run(sweep, names=(), asked=lambda: 0, **limits):
        said = []
        counts = Queue(sweep, Limits(**{"jobs": 1, **limits}), names, said.append, asked).work()
        return dict(counts), [line[10:] for line in said]

    return run


def began(entry):
    """When and how each attempt at a played run began."""
    lines = (entry.run.path / "began.txt").read_text().splitlines()
    return [(float(when), int(pid), how) for when, pid, how in (line.split() for line in lines)]


def most_at_once(entries):
    spans = [(began(entry)[0][0], float((entry.run.path / "ended.txt").read_text())) for entry in entries]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_than_the_wanted_number_works_at_a_time(jobs, prepared, play, work):
    play(all={"seconds": 0.4})
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    counts, said = work(sweep, jobs=jobs)
    assert counts == {"done": 4}
    assert most_at_once(sweep.entries()) == jobs
    assert [line.split(" (")[0] for line in said if line.startswith("started")] == [f"started {name}" for name in sweep.planned()]


def test_what_is_done_is_skipped_and_what_was_interrupted_goes_on(prepared, play, work):
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    done, interrupted, *_ = sweep.entries()
    done.run.update_state(status="finished")
    interrupted.run.update_state(status="interrupted")
    assert work(sweep)[0] == {"done": 4}
    assert not (done.run.path / "began.txt").exists()
    assert [how for _, _, how in began(interrupted)] == ["again"]


def test_only_the_named_runs_are_carried_out(prepared, play, work):
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    assert work(sweep, names=["a*"])[0] == {"done": 2}
    assert [standing(entry).status for entry in sweep.entries()] == ["done", "done", "ready", "ready"]


def test_a_run_that_fails_is_told_left_alone_and_done_again_when_marked(prepared, play, work):
    play(a={"fail": "the moon is full"})
    sweep, _ = prepared()
    counts, said = work(sweep)
    assert counts == {"failed": 1, "done": 1}
    assert "failed: a: the moon is full" in said
    assert work(sweep) == ({"failed": 1, "done": 1}, [])  # no second attempt by itself
    play()
    assert retry(sweep.entries(), anew=False) == ["a"]
    assert standing(sweep.entry("a")).status == "interrupted"
    assert work(sweep)[0] == {"done": 2}
    assert [how for _, _, how in began(sweep.entry("a"))] == ["anew", "again"]
    assert read_job(sweep.entry("a")).attempt == 2


def test_a_run_marked_while_the_queue_works_is_done_again_by_it(prepared, play, work, until, tmp_path):
    play(a={"fail": "so"}, b={"file": str(tmp_path / "go")})
    sweep, _ = prepared()
    found = {}
    thread = threading.Thread(target=lambda: found.update(zip(("counts", "said"), work(sweep, jobs=2), strict=True)))
    thread.start()
    until(lambda: standing(sweep.entry("a")).status == "failed")
    play()
    assert retry([sweep.entry("a")], anew=True) == ["a"]
    assert not (sweep.entry("a").run.path / "began.txt").exists()
    (tmp_path / "go").touch()
    thread.join()
    assert found["counts"] == {"done": 2}


def test_a_mark_made_before_the_queue_has_seen_the_end_is_kept(prepared, play, until):
    play(a={"fail": "so"})
    sweep, _ = prepared()
    working = Queue(sweep, Limits(jobs=1), ("a",), lambda _: None, lambda: 0)
    working._scan()
    working._launch()
    entry = sweep.entry("a")
    until(lambda: not is_held(entry.lock_path))
    write_job(entry, replace(read_job(entry), exit=2, ended=time.time()))  # as a run does itself
    assert retry([entry], anew=False) == ["a"]
    until(lambda: working._collect() or not working.jobs.running)
    assert read_job(entry).retry


def test_runs_added_while_the_queue_works_are_carried_out_by_it(prepared, collection, play, work, until, tmp_path):
    from lfads_core.plugins import load_registry
    from lfads_plugins_tune.collection.prepare import prepare

    play(all={"file": str(tmp_path / "go")})
    sweep, _ = prepared(vary={"optim.lr": [1e-3]})
    found = {}
    thread = threading.Thread(target=lambda: found.update(zip(("counts", "said"), work(sweep, jobs=2), strict=True)))
    thread.start()
    until(lambda: standing(sweep.entry("a__lr0.001")).status == "running")
    prepare(collection(vary={"optim.lr": [1e-3, 2e-3]}), load_registry())
    (tmp_path / "go").touch()
    thread.join()
    assert found["counts"] == {"done": 4}


def test_a_run_that_dies_is_told_with_its_signal(prepared, play, work):
    play(a={"signal": int(signal.SIGSEGV)}, b={"signal": int(signal.SIGKILL)})
    sweep, _ = prepared()
    counts, said = work(sweep)
    assert counts == {"failed": 2}
    ends = [line for line in said if line.startswith("failed")]
    assert ends[0].startswith("failed: a: ended by SIGSEGV")
    assert ends[1].startswith("failed: b: ended by SIGKILL")
    assert ends[1].endswith("; the system may have run out of memory")


def test_a_process_that_cannot_even_begin_is_a_failure_with_what_it_said(prepared, play, work, monkeypatch):
    sweep, _ = prepared()
    monkeypatch.setattr(queue, "job_command", lambda *_: [sys.executable, "-c", "raise SystemExit('nothing works here')"])
    counts, said = work(sweep)
    assert counts == {"failed": 2}
    assert "failed: a: nothing works here" in said


def test_a_run_that_uses_more_memory_than_it_may_is_ended_and_told_and_the_others_go_on(prepared, play, work):
    play(a={"megabytes": 400, "seconds": 60}, b={"seconds": 0.5})
    sweep, _ = prepared()
    counts, said = work(sweep, jobs=2, memory=200_000_000)
    assert counts == {"failed": 1, "done": 1}
    (told,) = [line for line in said if line.startswith("failed: a")]
    job = read_job(sweep.entry("a"))
    assert 200_000_000 < job.peak < 600_000_000
    assert told == (
        f"failed: a: ended by the queue: it used {job.peak / 1e6:.3g} MB of memory and may have 200 MB (--memory). Allow more, or make it smaller"
    )
    assert not psutil.pid_exists(job.pid)


def test_a_run_waits_until_its_memory_is_free(prepared, play, work, monkeypatch):
    free = iter([3e9, 3e9, 1e9, 1e9, 1e9, 3e9])
    monkeypatch.setattr(queue, "free_memory", lambda: int(next(free, 3e9)))
    monkeypatch.setattr(queue, "whole_memory", lambda: int(4e9))
    play(all={"seconds": 0.2})
    sweep, _ = prepared()
    counts, said = work(sweep, jobs=2, memory=2_000_000_000)
    assert counts == {"done": 2}
    assert [line.split(" (")[0] for line in said if not line.startswith("done")] == [
        "started a",
        "waiting: a run is to have 2 GB of memory, which is not free",  # 3 GB are free, of which a may still take 2
        "started b",
    ]
    assert most_at_once(sweep.entries()) == 1


def test_more_memory_than_there_is_is_refused(prepared):
    sweep, _ = prepared()
    with pytest.raises(RunError, match=r"^--memory: must not be more than there is \(\d.* GB\), got 1e\+03 TB for each run\.$"):
        Queue(sweep, Limits(jobs=1, memory=10**15), (), print, lambda: 0)


def test_gpus_are_shared_out_evenly(prepared, play, work):
    play(all={"seconds": 0.3})
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    counts, said = work(sweep, jobs=4, gpus=("0", "3"))
    assert counts == {"done": 4}
    assert [line.split("gpu ")[1].split(")")[0] for line in said if line.startswith("started")] == ["0", "3", "0", "3"]
    seen = [json.loads(entry.run.state_path.read_text())["cuda"] for entry in sweep.entries()]
    assert seen == ["0", "3", "0", "3"]


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """``nvidia_smi({"0": 8000})`` puts a command on the path that tells so many free MiB of each GPU."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def tell(free):
        lines = "\n".join(f"echo '{index}, GPU-{index * 4}, {count}'" for index, count in free.items())
        command.write_text(f"#!/bin/sh\n{lines}\n")
        command.chmod(0o755)

    tell({})
    return tell


def test_a_run_waits_for_memory_on_a_gpu(prepared, play, work, nvidia_smi):
    nvidia_smi({"0": 9000, "1": 3000})
    play(all={"seconds": 0.3})
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    counts, said = work(sweep, jobs=4, gpus=("0", "GPU-1111"), gpu_memory=4000 * 2**20)
    assert counts == {"done": 4}
    assert {line.split("gpu ")[1].split(")")[0] for line in said if line.startswith("started")} == {"0"}  # the other never has enough
    assert "waiting: no GPU has 4.19 GB free" in said
    assert most_at_once(sweep.entries()) == 2  # twice 4000 fit into 9000


def test_a_gpu_that_is_not_there_is_refused(prepared, nvidia_smi):
    nvidia_smi({"0": 9000})
    sweep, _ = prepared()
    with pytest.raises(RunError, match=r"^--gpus: must be numbers or UUIDs that nvidia-smi knows \(0\), got 1\.$"):
        Queue(sweep, Limits(jobs=1, gpus=("0", "1"), gpu_memory=1), (), print, lambda: 0)


def test_without_nvidia_smi_gpu_memory_cannot_be_asked_for(prepared, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep, _ = prepared()
    with pytest.raises(RunError, match=r"^--gpu-memory: needs nvidia-smi to tell what is free, got: .*nvidia-smi.*\. Leave the option out\.$"):
        Queue(sweep, Limits(jobs=1, gpus=("0",), gpu_memory=1), (), print, lambda: 0)


def test_the_wish_to_end_lets_runs_save(prepared, play, work, until):
    play(all={"seconds": 60})
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 2e-3]})
    first = sweep.entries()[:2]
    asked = lambda: int(all((entry.run.path / "began.txt").exists() for entry in first))  # noqa: E731
    counts, said = work(sweep, jobs=2, asked=asked)
    assert counts == {"interrupted": 2, "ready": 2}
    assert "stopping: 2 runs save and end" in said
    assert [read_job(entry).exit for entry in first] == [130, 130]


@pytest.mark.parametrize(("wishes", "grace"), [(1, 0.2), (2, 60.0)])
def test_runs_that_do_not_end_in_time_or_when_wished_twice_are_killed(wishes, grace, prepared, play, work):
    play(all={"seconds": 60, "stubborn": True})
    sweep, _ = prepared(data={"each": ["../sessions/a.h5"]})
    (entry,) = sweep.entries()
    counts, _ = work(sweep, grace=grace, asked=lambda: wishes * (entry.run.path / "began.txt").exists())
    assert counts == {"failed": 1}
    assert read_job(entry).exit == -signal.SIGKILL


def test_what_another_queue_left_running_is_taken_over(prepared, play, work, until):
    play(a={"seconds": 1.5}, b={"seconds": 0.1})
    sweep, _ = prepared()
    dying = Queue(sweep, Limits(jobs=1), (), lambda _: None, lambda: 0)
    dying._scan()
    dying._launch()  # and is heard of no more
    until((sweep.entry("a").run.path / "began.txt").exists)
    pid = read_job(sweep.entry("a")).pid
    reaper = threading.Thread(target=dying.jobs.running["a"].process.wait)  # in place of init
    reaper.start()
    counts, said = work(sweep, jobs=2)
    reaper.join()
    assert counts == {"done": 2}
    assert f"still at work: a (process {pid})" in said
    assert len(began(sweep.entry("a"))) == 1


def test_a_run_that_is_trained_by_hand_is_left_alone(prepared, play, work):
    sweep, _ = prepared()
    entry = sweep.entry("a")
    entry.run.update_state(status="running")
    with holding(entry.run.path / ".lock", "taken"):
        assert standing(entry).note == "by another command"
        assert work(sweep)[0] == {"running": 1, "done": 1}
    assert not (entry.run.path / "began.txt").exists()


@pytest.mark.long
def test_two_queues_at_once_are_refused(prepared, play, until):
    play(all={"seconds": 60})
    sweep, _ = prepared()
    process = subprocess.Popen(_queue_alone(sweep), start_new_session=True)
    try:
        until(lambda: read_job(sweep.entry("a")) and read_job(sweep.entry("a")).pid)
        with pytest.raises(RunError) as err:
            control.work(sweep, Limits(jobs=1), (), print)
        assert str(err.value) == (
            f"{sweep.path}: one queue may work on a collection, but process {process.pid} on {os.uname().nodename} does. "
            f"`lfads collection status {sweep.path}` shows it, `lfads collection stop {sweep.path}` ends it."
        )
        assert control.stop(sweep, now=False) == 1
    finally:
        process.kill()
        process.wait()
    assert standing(sweep.entry("a")).status == "interrupted"
    assert not control.is_working(sweep)


def _queue_alone(sweep):
    """A command that is a queue of played runs."""
    played, parts = Path(__file__).with_name("played_run.py"), sweep.path.parent / "parts.json"
    code = (
        "import sys; from pathlib import Path; from lfads_plugins_tune.collection import control, queue; "
        "from lfads_plugins_tune.collection.folder import Collection; from lfads_plugins_tune.cli.collection_queue import say; "
        f"queue.job_command = lambda c, e: [sys.executable, {str(played)!r}, str(e.run.path.resolve()), {str(parts)!r}]; "
        f"control.work(Collection(Path({str(sweep.path)!r})), queue.Limits(jobs=1, grace=20), (), say)"
    )
    return [sys.executable, "-c", code]


def test_after_a_queue_was_killed_its_runs_work_on_and_stop_ends_them_all(prepared, play, until):
    play(all={"seconds": 60})
    sweep, _ = prepared()
    process = subprocess.Popen(_queue_alone(sweep), start_new_session=True)
    until((sweep.entry("a").run.path / "began.txt").exists)
    process.kill()
    process.wait()
    assert not control.is_working(sweep)
    job = read_job(sweep.entry("a"))
    assert standing(sweep.entry("a")).status == "running"
    assert control.stop(sweep, now=False) == 1
    assert standing(sweep.entry("a")).status == "interrupted"
    assert not psutil.pid_exists(job.pid) or psutil.Process(job.pid).status() == psutil.STATUS_ZOMBIE


def test_stopping_now_kills(prepared, play, until):
    play(all={"seconds": 60, "stubborn": True})
    sweep, _ = prepared()
    process = subprocess.Popen(_queue_alone(sweep), start_new_session=True)
    until((sweep.entry("a").run.path / "began.txt").exists)
    began_at = time.monotonic()
    assert control.stop(sweep, now=True) == 1
    assert time.monotonic() - began_at < 10
    assert process.wait() == -signal.SIGKILL
    assert not is_held(sweep.entry("a").lock_path)
    assert standing(sweep.entry("a")).status == "interrupted"  # nobody was there to see how it ended
    assert control.stop(sweep, now=True) == 0


@pytest.mark.long
def test_a_closed_terminal_disturbs_neither_queue_nor_runs(prepared, play, until):
    play(all={"seconds": 1})
    sweep, _ = prepared()
    process = subprocess.Popen(_queue_alone(sweep), start_new_session=True, stdout=subprocess.PIPE)
    until((sweep.entry("a").run.path / "began.txt").exists)
    os.killpg(process.pid, signal.SIGHUP)
    process.stdout.close()  # nobody reads any more either
    assert process.wait() == 0
    assert [standing(entry).status for entry in sweep.entries()] == ["done", "done"]


def test_memory_of_a_family_is_counted_and_a_family_is_ended_whole(until):
    child = "import time; kept = bytearray(50_000_000); time.sleep(60)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until(lambda: psutil.Process(process.pid).children())
    (grandchild,) = psutil.Process(process.pid).children()
    until(lambda: used_memory(process.pid) > 55_000_000)
    end_family(process.pid)
    assert process.wait() == -signal.SIGKILL
    until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)
    assert used_memory(process.pid) == 0
    end_family(process.pid)  # gone already: nothing to do


def test_the_memory_of_a_container_counts(monkeypatch, tmp_path):
    from lfads_plugins_tune.jobs import memory

    for name, text in {"memory.max": "1000000\n", "memory.current": "600000\n", "memory.stat": "anon 5\ninactive_file 100000\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert free_memory() == 500_000
    assert whole_memory() == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 10**7
    assert whole_memory() == psutil.virtual_memory().total
