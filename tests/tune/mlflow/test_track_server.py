"""A real `mlflow server` on this machine that is away for a while: at the start, in the middle, at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fake_search import SearchFolder
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.mlflow import tracker as tracking
from lfads_plugins_tune.mlflow.tracker import MlflowTracker, sync
from mlflow_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    yield server
    server.stop()


def begun(path: Path) -> Run:
    run = Run.create(path)
    run.config_path.write_text("optim: {lr: 0.004}")
    run.update_state(status="running")
    return run


def train(run: Run, first: int, end: int) -> None:
    log = FitLog(run.fitlog)
    for epoch in range(first, end):
        log.append(epoch, {"a": float(epoch)})


def test_a_run_reaches_a_server_that_was_away_at_its_start_in_its_middle_and_at_its_end(server, tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(tracking.PATIENCE, "training", 240.0)  # a server takes its time to start
    run = begun(tmp_path / "runs" / "one")
    tracker = MlflowTracker(run.path, "lfads", "training")
    train(run, 0, 4)
    wait_until(lambda: caplog.messages)
    server.start()
    wait_until(lambda: tracker.run_ids, 300)
    server.stop()
    train(run, 4, 8)
    run.update_state(status="finished")
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(tracker.close, "finished")
        time.sleep(3.0)
        assert not ended.done()  # it is waited for
        server.start()
        ended.result()
    assert server.curve("one", "a") == list(range(8))
    assert server.runs()["one"]["info"]["status"] == "FINISHED"
    assert server.files("one") == ["config.yaml", "fitlog.csv"]
    assert [message.split(" (")[0] for message in caplog.messages] == [f"MLflow: {server.url} does not take the run"]
    assert "Connection refused" in caplog.messages[0]


def test_what_a_server_that_stays_away_misses_is_named_and_written_afterwards_without_training(server, tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(tracking.PATIENCE, "search", 3.0)
    monkeypatch.setattr(tracking, "MORE", 300.0)
    search = SearchFolder(tmp_path / "runs" / "mine-pbt", 2)
    server.start()
    tracker = MlflowTracker(search.folder, "lfads", "search")
    search.go_on(1)
    wait_until(lambda: len(tracker.run_ids) == 3, 300)
    wait_until(lambda: server.curve("mine-pbt", "epochs") == [0], 300)
    server.stop()
    search.go_on(2)
    search.write("finished")
    tracker.close("finished")
    assert caplog.messages[-1] == (
        "MLflow lacks mine-pbt, m00 · mine-pbt, m01 · mine-pbt. Once it can be written to again: "
        f"MLFLOW_TRACKING_URI={server.url} lfads ui --sync {search.folder}"
    )
    before = {path: path.stat().st_mtime_ns for path in search.folder.rglob("*") if path.is_file()}
    server.start()
    done = subprocess.run([sys.executable, "-m", "lfads_core.cli.main", "ui", "--sync", search.folder], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("files or folders written\n")
    assert server.curve("mine-pbt", "epochs") == [0, 1, 2]
    assert {run["info"]["status"] for run in server.runs().values()} == {"FINISHED"}
    assert server.files("mine-pbt") == ["config.yaml", "fitlog.csv", "search.json"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = SearchFolder(tmp_path / "others" / "mine-pbt", 2)  # another's, of the same name
    sync(other.folder)
    assert len(server.runs()) == 6


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
