"""Searches on a real store that fails them: two at once, locked, full, gone, read-only, under a clock that jumps."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fake_search import SearchFolder
from lfads_plugins_tune.mlflow import tracker as tracking
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.mlflow.store import store_of
from lfads_plugins_tune.mlflow.tracker import MlflowTracker, open_for, sync
from lfads_plugins_tune.search.state import Best
from lfads_plugins_tune.search.table import SearchLog

pytestmark = pytest.mark.slow

GOES_ON = ". The search goes on, and fitlog.csv keeps every epoch."

DRIVER = """
import logging, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from fake_search import SearchFolder
from lfads_plugins_tune.mlflow.settings import TrackConfig
from lfads_plugins_tune.mlflow.tracker import open_for
logging.basicConfig(format="%(message)s")
search = SearchFolder(Path(sys.argv[1]), 3, interval=4, seed=0)
tracker = open_for(search.folder, TrackConfig(), "search")
for generation in range(int(sys.argv[2])):
    search.go_on(1)
    time.sleep(float(sys.argv[3]))
search.write("finished")
tracker.close("finished")
"""


def drive(folder: Path, generations: int, seconds: float, **environment: str) -> subprocess.Popen[str]:
    """A search in a process of its own."""
    command = [sys.executable, "-c", DRIVER, str(folder), str(generations), str(seconds), str(Path(__file__).parents[2])]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})


class Searching(SearchFolder):
    """A search driven by the test itself; what follows it is the real process."""

    def __init__(self, folder: Path, members: int = 2) -> None:
        super().__init__(folder, members)
        self.start()

    def start(self) -> None:
        """Begin, or go on."""
        tracker = open_for(self.folder, TrackConfig(), "search")
        assert tracker is not None
        self.tracker: MlflowTracker = tracker

    def end(self, status: str = "finished") -> None:
        self.write(status)
        self.tracker.close(status)


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, which takes seconds to make."""
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    folder = tmp_path_factory.mktemp("made")
    first = Searching(folder / "first", members=1)
    first.end()
    assert len(first.tracker.run_ids) == 2
    return folder


@pytest.fixture
def runs(tmp_path: Path, made: Path) -> Path:
    """A folder of runs with a store that is there already."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(store_of(made).database, store_of(folder).database)
    return folder


def ask(runs: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(store_of(runs).database)) as connection:
        return connection.execute(query).fetchall()


def curve(runs: Path, run: str, metric: str) -> list[int]:
    return [
        step for (step,) in ask(runs, f"select step from metrics join runs using (run_uuid) where name = '{run}' and key = '{metric}' order by step")
    ]


def statuses(runs: Path, name: str) -> set[tuple[str, str]]:
    return set(ask(runs, f"select name, status from runs where name like '%{name}'"))


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def everything_arrived(searching: Searching, runs: Path, status: str = "FINISHED") -> None:
    name, history = searching.folder.name, searching.search.history
    everyone = [name, *(f"m{i:02d} · {name}" for i in range(len(searching.search.members)))]
    assert statuses(runs, name) == {(run, status) for run in everyone}
    assert curve(runs, name, "epochs") == [g.generation for g in history]
    for i in range(len(searching.search.members)):
        scored = [g.epochs - 1 for g in history if g.members[i].score is not None]
        assert curve(runs, f"m{i:02d} · {name}", "score") == scored
        assert set(scored) <= set(curve(runs, f"m{i:02d} · {name}", "valid/recon"))
        assert curve(runs, f"m{i:02d} · {name}", "hp/lr") == [epoch for g in history for epoch in (g.first_epoch, g.epochs - 1)]


def test_a_search_is_recorded_by_one_process_in_runs_below_one(runs):
    searching = Searching(runs / "pbt", members=4)
    searching.go_on(3)
    searching.write("finished", best=Best(member=2, score=0.3, scores={}))
    searching.tracker.close("finished")
    everything_arrived(searching, runs)
    ids = dict(ask(runs, "select name, run_uuid from runs where name like '%pbt'"))
    parents = ask(runs, "select name, value from tags join runs using (run_uuid) where key = 'mlflow.parentRunId' and name like '%pbt'")
    assert sorted(parents) == [(f"m{i:02d} · pbt", ids["pbt"]) for i in range(4)]
    assert ask(runs, "select name from tags join runs using (run_uuid) where key = 'lfads.best' and value = 'true'") == [("m02 · pbt",)]
    assert ask(runs, "select value from tags join runs using (run_uuid) where key = 'lfads.best_run'") == [(ids["m02 · pbt"],)]
    assert len(ask(runs, "select value from experiment_tags where key like 'mlflow.sharedViewState.lfads-%'")) >= 1


def test_two_searches_that_start_at_once_on_a_fresh_store_both_arrive(tmp_path):
    both = [drive(tmp_path / "runs" / name, 4, 0.1) for name in ("one", "two")]
    assert [search.communicate(timeout=250)[1] for search in both] == ["", ""]
    for name in ("one", "two"):
        assert statuses(tmp_path / "runs", name) == {(run, "FINISHED") for run in [name, *(f"m{i:02d} · {name}" for i in range(3))]}
        assert curve(tmp_path / "runs", name, "epochs") == [0, 1, 2, 3]
    assert ask(tmp_path / "runs", "select count(*) from experiments where name = 'lfads'") == [(1,)]


@pytest.mark.parametrize("seconds", [60])
def test_a_store_locked_while_a_search_ends_gets_everything_once_it_is_free(runs, caplog, seconds):
    searching = Searching(runs / "pbt")
    wait_for(lambda: searching.tracker.run_ids)
    program = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('begin exclusive'); print(1, flush=True)"
    command = [sys.executable, "-c", f"{program}; time.sleep(float(sys.argv[2]))", str(store_of(runs).database), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        began = time.monotonic()
        searching.go_on(3)
        assert time.monotonic() - began < 5  # nobody waited for the store
        searching.end()
    everything_arrived(searching, runs)
    assert caplog.messages == [
        f"MLflow: {store_of(runs).database} is locked by another program; close it, and what is missing is written later{GOES_ON}"
    ]


@pytest.fixture
def small_disk(tmp_path: Path, made: Path):
    """A file system of 8 MB with a store on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    shutil.copy(store_of(made).database, store_of(folder).database)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_warning_and_everything_arrives_once_there_is_room(small_disk, tmp_path, caplog):
    searching = Searching(small_disk / "pbt")
    table = tmp_path / "fitlog.csv"  # on another disk, where the search goes on
    (searching.folder / "fitlog.csv").symlink_to(table)
    searching.log = SearchLog(table)
    wait_for(lambda: len(searching.tracker.run_ids) == 3)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    for epoch in range(3000):
        searching.log.append((0, 0, epoch), searching.first[0], {"valid/recon_smooth": 1.0, "more": 2.0, "and more": 3.0})
    wait_for(lambda: caplog.messages)
    filler.unlink()
    searching.end()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(GOES_ON)
    assert curve(small_disk, "m00 · pbt", "valid/recon_smooth") == list(range(3000))
    assert statuses(small_disk, "pbt") == {("pbt", "FINISHED"), ("m00 · pbt", "FINISHED"), ("m01 · pbt", "FINISHED")}


def test_a_read_only_store_is_one_warning_and_what_is_missing_is_written_afterwards(small_disk, caplog):
    searching = Searching(small_disk / "pbt")
    searching.go_on(1)
    searching.end("interrupted")
    searching.go_on(1)
    searching.write("finished")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    searching.start()
    searching.tracker.close("finished")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert len(caplog.messages) == 2
    assert "Read-only file system" in caplog.messages[0]
    assert caplog.messages[0].endswith(GOES_ON)
    assert caplog.messages[1].endswith(f"lfads ui --sync {searching.folder}")
    sync(searching.folder)
    everything_arrived(searching, small_disk)


def test_a_store_deleted_in_the_middle_is_made_anew_and_filled_when_the_search_goes_on(runs, caplog):
    searching = Searching(runs / "pbt")
    searching.go_on(2)
    wait_for(lambda: curve(runs, "m01 · pbt", "score") and curve(runs, "pbt", "epochs"))
    time.sleep(1.0)  # in the middle of a write MLflow itself would say what is wrong, in its words
    store_of(runs).database.unlink()
    searching.end("interrupted")
    assert caplog.messages == [
        f"MLflow: {store_of(runs).database} is gone; put it back, or leave it to the next run to make a new one{GOES_ON}",
        f"MLflow lacks pbt, m00 · pbt, m01 · pbt. Once it can be written to again: lfads ui --sync {searching.folder}",
    ]
    searching.start()
    searching.go_on(1)
    searching.end()
    everything_arrived(searching, runs)


CLOCK = """
import pathlib, time
_ns, _offset = time.time_ns, pathlib.Path(__file__).with_name("offset")
def _jumping():
    try:
        return _ns() + int(_offset.read_text()) * 1_000_000_000
    except (OSError, ValueError):
        return _ns()
time.time_ns, time.time = _jumping, lambda: _jumping() / 1e9
"""


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_leaves_times_in_order_and_waits_as_they_were(runs, tmp_path, hours):
    clock = tmp_path / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(CLOCK)
    path = os.pathsep.join([str(clock), *filter(None, sys.path)])
    began, start = time.monotonic(), time.time_ns() // 1_000_000
    search = drive(runs / "pbt", 6, 0.5, PYTHONPATH=path)
    wait_for((runs / "pbt" / "fitlog.csv").exists)
    (clock / "offset").write_text(str(3600 * hours))
    assert search.communicate(timeout=200)[1] == ""
    assert time.monotonic() - began < 150
    end = start + round(1000 * (time.monotonic() - began))
    assert statuses(runs, "pbt") == {(run, "FINISHED") for run in ["pbt", *(f"m{i:02d} · pbt" for i in range(3))]}
    times = [t for (t,) in ask(runs, "select timestamp from metrics join runs using (run_uuid) where name = 'pbt' and key = 'epochs' order by step")]
    assert times == sorted(times)
    assert start <= times[0] <= times[-1] <= end
    for first, last in ask(runs, "select start_time, end_time from runs where name like '%pbt'"):
        assert start <= first <= last <= end


def test_a_search_that_ends_does_not_wait_for_ever(runs, caplog, monkeypatch):
    monkeypatch.setitem(tracking.PATIENCE, "search", 2.0)
    searching = Searching(runs / "pbt")
    wait_for(lambda: len(searching.tracker.run_ids) == 3)
    with closing(sqlite3.connect(store_of(runs).database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        searching.go_on(1)
        began = time.monotonic()
        searching.end()
        assert time.monotonic() - began < 30
    assert len(caplog.messages) == 2
    assert caplog.messages[1].endswith(f"lfads ui --sync {searching.folder}")
    sync(searching.folder)
    everything_arrived(searching, runs)
