"""What a worker does with an assignment, without Ray: whom it trains, what it says and in which order, and when it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from lfads_core.errors import ConfigError, RunError
from lfads_plugins_tune.executors import cluster
from lfads_plugins_tune.executors import reaper as guard
from lfads_plugins_tune.executors.cluster import Cluster
from lfads_plugins_tune.executors.placement import Placement, place, slots
from lfads_plugins_tune.executors.task_queue import Assignment, Reply, Row
from lfads_plugins_tune.executors.worker import Worker
from lfads_plugins_tune.executors.worker_setup import MARK, member_trainer
from lfads_plugins_tune.jobs.on_ray import load_ray
from lfads_plugins_tune.search.executor import Outcome, Task


def tasks(*members):
    return tuple(Task(member=m, path=Path(f"members/{m:03d}"), overrides={}, epochs=2, generation=0, restart=False) for m in members)


def outcome(member, status="done", error=None):
    return Outcome(member=member, status=status, score=1.0 if status == "done" else None, epochs=2, seconds=1.0, error=error)


class Connection:
    """A coordinator that hands out shares, and keeps what it is told."""

    def __init__(self, *answers, word=Reply.GO_ON):
        self.answers, self.word, self.said = list(answers), word, []

    def take(self, ask, wait):
        return self.answers.pop(0)

    def hear(self, lease, said):
        self.said += said
        return self.word


class MemberTrainer:
    """Trains nobody: each member has two epochs; those that are told to, raise."""

    def __init__(self, raising=(), together=()):
        self.raising, self.together, self.trained, self.forgotten = set(raising), set(together), [], 0

    def groups(self, tasks, most=None):
        return [list(tasks)]

    def train(self, tasks, report, should_stop):
        self.trained.append([(task.member, task.restart) for task in tasks])
        for task in tasks:
            for epoch in range(2):
                report(task.member, epoch, {"x": 1.0})
            if task.member in self.raising or (len(tasks) > 1 and task.member in self.together):
                raise KeyError("broken")
            yield outcome(task.member)

    def forget(self):
        self.forgotten += 1


def test_every_epoch_is_told_before_its_outcome_and_nobody_is_held_afterwards():
    line, trainer = Connection(Assignment(lease=7, tasks=tasks(3)), Reply.CLOSED), MemberTrainer()
    hand = Worker(line, trainer)
    assert hand.work()
    assert line.said == [Row(member=3, epoch=0, values={"x": 1.0}), Row(member=3, epoch=1, values={"x": 1.0}), outcome(3)]
    assert trainer.forgotten == 1
    assert not hand.work()


def test_what_a_group_raises_is_put_down_to_the_member_that_raises_alone():
    line, trainer = Connection(Assignment(lease=1, tasks=tasks(0, 1, 2))), MemberTrainer(raising={1})
    assert Worker(line, trainer).work()
    found = {word.member: (word.status, word.error) for word in line.said if isinstance(word, Outcome)}
    assert found == {0: ("done", None), 1: ("failed", "KeyError: 'broken'"), 2: ("done", None)}
    assert trainer.trained == [[(0, False), (1, False), (2, False)], [(1, True)], [(2, True)]]


def test_a_worker_that_was_given_up_ends_itself():
    ended = []
    line = Connection(Assignment(lease=1, tasks=tasks(0)), word=Reply.GONE)
    Worker(line, MemberTrainer(), end=lambda: ended.append(True)).work()
    assert ended


def test_a_worker_without_an_answer_ends_itself_before_its_members_go_to_others():
    class Dead(Connection):
        def take(self, ask, wait):
            raise ConnectionError("no route")

    ended = []
    assert not Worker(Dead(), MemberTrainer(), fence=0.0, end=lambda: ended.append(True)).work()
    assert ended == [True]


def test_fractions_of_one_node_cannot_be_added_to_anothers():
    nodes = [{"CPU": 1.5}, {"CPU": 0.5}, {"CPU": 4.0, "GPU": 1.0}, {}]
    assert slots(nodes, 1.0, 0.0) == 5
    assert slots(nodes, 0.5, 0.0) == 12
    assert slots(nodes, 0.1, 0.25) == 4
    assert slots([{"CPU": 0.3}], 0.1, 0.0) == 3  # 0.3 / 0.1 is a little less than 3


def test_members_are_dealt_out_evenly_and_gpus_are_used_where_there_are_any():
    assert place([{"CPU": 2.0}], 16, (None, None), 1.0, None) == Placement(workers=2, members=8, cpus=1.0, gpus=0.0)
    assert place([{"CPU": 8.0, "GPU": 2.0}], 10, (None, None), 1.0, None) == Placement(workers=2, members=5, cpus=1.0, gpus=1.0)
    assert place([{"CPU": 2.0}], 5, (None, 2), 1.0, None) == Placement(workers=3, members=2, cpus=1.0, gpus=0.0)
    assert place([], 5, (None, None), 1.0, None).workers == 1
    assert place([{"CPU": 8.0}], 10, (3, None), 1.0, None) == Placement(workers=3, members=4, cpus=1.0, gpus=0.0)
    assert place([{"CPU": 8.0}], 10, (3, 1), 1.0, None) == Placement(workers=3, members=1, cpus=1.0, gpus=0.0)
    assert place([{"CPU": 1.0}], 10, (3, None), 1.0, None) == Placement(workers=1, members=10, cpus=1.0, gpus=0.0)
    assert str(Placement(workers=1, members=1, cpus=0.5, gpus=0.25)) == "0.5 CPU and 0.25 GPU"


@pytest.fixture
def work(tmp_path):
    (tmp_path / MARK).write_text("key")
    from lfads_core import __version__

    return {"version": __version__, "folder": str(tmp_path), "key": "key", "storage": None}


def test_a_worker_that_sees_another_folder_of_that_name_takes_no_part(work, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "node7")
    after = " Put the runs and the data where all nodes have them under the same path, or give a --storage that all can write."
    with pytest.raises(RunError) as caught:
        member_trainer(work | {"key": "another"}).__enter__()
    assert str(caught.value) == f"node7: must see the search's folder as {work['folder']}, got 'key'.{after}"
    (Path(work["folder"]) / MARK).unlink()
    with pytest.raises(RunError) as caught:
        member_trainer(work).__enter__()
    assert str(caught.value) == f"node7: must see the search's folder as {work['folder']}, got 'No such file or directory'.{after}"


def test_a_worker_of_another_version_takes_no_part(work, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "node7")
    monkeypatch.setattr("lfads_plugins_tune.executors.worker_setup.__version__", "0.0.1")
    with pytest.raises(RunError) as caught:
        member_trainer(work).__enter__()
    assert str(caught.value) == (f"node7: every node must have lfads-core {work['version']}, got 0.0.1. Install the same packages on all nodes.")


def test_without_ray_a_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError) as caught:
        load_ray()
    assert str(caught.value) == ('--executor ray: needs Ray, which is not installed. Run `pip install "lfads-core[tune]"`, or use another executor.')


def test_a_client_address_is_refused_and_a_cluster_that_is_not_there_is_told(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def fail(**_):
        raise ConnectionError("Traceback\nNo cluster at 10.0.0.1:6379.")

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(cluster, "_read_mode_anew", lambda: None)
    ray = types.SimpleNamespace(is_initialized=lambda: False, init=fail, shutdown=lambda: None)
    with pytest.raises(ConfigError) as caught:
        Cluster(ray, "ray://head:10001")
    assert str(caught.value) == (
        "--address: must be HOST:PORT or auto, got 'ray://head:10001'. Start the search on a machine of the cluster, "
        "which sees the same files as its nodes."
    )
    with socket.socket() as answering:
        answering.bind(("127.0.0.1", 0))
        answering.listen()
        address = f"127.0.0.1:{answering.getsockname()[1]}"
        with pytest.raises(RunError) as caught:
            Cluster(ray, address)
    token = "If it asks for a token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what `ray get-auth-token` says on its head."
    assert str(caught.value) == (
        f"--address {address}: a Ray cluster must be there, got: No cluster at 10.0.0.1:6379. Look with `ray status`. {token}"
    )


@pytest.mark.parametrize("by", ["--address", "RAY_ADDRESS", "auto"])
def test_an_address_where_nothing_answers_is_found_out_at_once_and_named(monkeypatch, tmp_path, by):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        stale = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(stale)
    if by == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", stale)
    ray = types.SimpleNamespace(is_initialized=lambda: False, init=lambda **_: pytest.fail("tried"), shutdown=lambda: None)
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        Cluster(ray, {"--address": stale, "RAY_ADDRESS": None, "auto": "auto"}[by])
    assert time.monotonic() - began < 8
    where = {"--address": f"--address {stale}", "RAY_ADDRESS": f"RAY_ADDRESS={stale}", "auto": "--address auto"}[by]
    assert str(caught.value) == (
        f"{where}: a Ray cluster must be there, but {stale} does not answer (Connection refused). "
        "Start it, or give another address; without any, and without RAY_ADDRESS, one is started on this machine."
    )


def test_a_cluster_is_tried_without_a_token_and_then_with_the_one_that_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is put back as it was, whatever is set in between
        monkeypatch.delenv(name)
    monkeypatch.setattr(cluster, "_read_mode_anew", lambda: None)
    monkeypatch.setattr(cluster, "_must_answer", lambda *_: None)
    modes = []

    def init(**_):
        modes.append(os.environ["RAY_AUTH_MODE"])
        if modes[-1] != "token":
            raise ConnectionError("no")

    ray = types.SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    with pytest.raises(RunError):
        Cluster(ray, "10.0.0.1:6379")
    assert (modes, os.environ.get("RAY_AUTH_MODE")) == (["disabled"], None)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    Cluster(ray, "10.0.0.1:6379")
    assert modes == ["disabled", "disabled", "token"]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(RunError):
        Cluster(ray, "10.0.0.1:6379")
    assert modes[3:] == ["disabled"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc")
def test_when_the_driver_is_gone_the_guard_kills_what_carries_the_mark_and_removes_the_folder(tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    ours = subprocess.Popen(sleep, env=os.environ | {guard.VARIABLE: "mark"})
    other = subprocess.Popen(sleep, env=os.environ | {guard.VARIABLE: "marker"})
    watching = subprocess.Popen([sys.executable, "-I", "-S", guard.__file__, str(folder), "mark"], stdin=subprocess.PIPE)
    try:
        time.sleep(0.3)
        assert (ours.poll(), watching.poll()) == (None, None)
        watching.stdin.close()
        assert watching.wait(30) == 0
        assert ours.wait(10) == -9
        assert other.poll() is None
        assert not folder.exists()
    finally:
        for process in (ours, other, watching):
            process.kill()
            process.wait()
