"""MLflow as a tracker: what arrives in a real store, and that no fault of MLflow's costs a training anything."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import dump_plain
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.track.collect import open_trackers
from lfads_core.track.fitlog import FitLog, read_fitlog
from lfads_plugins_tune.mlflow import tracker as tracking
from lfads_plugins_tune.mlflow.store import StoreError, store_of
from lfads_plugins_tune.mlflow.tracker import MlflowTracker

GOES_ON = ". The training goes on, and fitlog.csv keeps every epoch."
SETTINGS = {"optim": {"lr": 0.004}, "model": {"controller": None}}

FAKE = """
    import os
    class Info:
        run_id, run_name, status, params, tags, metrics = "fake", "one", "RUNNING", {{}}, {{}}, ()
        info = data = property(lambda self: self)
        to_proto = lambda self: self
    class MlflowClient:
        def __init__(self, tracking_uri): pass
        def get_experiment_by_name(self, name): return None
        def create_experiment(self, name, **_): return "1"
        def search_runs(self, *_, **__): return []
        def create_run(self, *_, **__): return Info()
        def log_artifact(self, *_, **__): pass
        def log_artifacts(self, *_, **__): pass
        def get_run(self, run_id): return Info()
        def set_terminated(self, run_id, status, end_time): print("printed by MLflow", flush=True)
        def log_batch(self, run_id, metrics=(), params=(), tags=()):
            if metrics:
                {fault}
"""


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return begun(tmp_path / "runs" / "one")


@pytest.fixture
def fake_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a package in MLflow's place whose client does as it is told when it gets metrics; it has no store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere")
    monkeypatch.syspath_prepend(tmp_path / "fake")

    def put(fault: str) -> None:
        package = tmp_path / "fake" / "mlflow"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "entities.py").write_text("Param = RunTag = Metric = lambda *values: values\n")
        (package / "tracking.py").write_text(textwrap.dedent(FAKE).format(fault=fault))

    return put


def begun(path: Path, key: str = "key") -> Run:
    """A run's folder as it is when tracking begins."""
    run = Run.create(path)
    run.config_path.write_text(dump_plain(SETTINGS))
    run.update_state(status="running", versions={"torch": "2.13.0"}, mlflow_key=key)
    return run


def start(run: Run) -> MlflowTracker:
    return MlflowTracker(run.path, "lfads", "training")


def log(run: Run, *epochs: int, **row: float) -> None:
    """What the training writes."""
    table = FitLog(run.fitlog)
    for epoch in epochs:
        table.append(epoch, row or {"a": 1.0})


def lacks(run: Run, what: str, place: str = "MLFLOW_TRACKING_URI=http://nowhere ") -> str:
    return f"MLflow lacks {what}. Once it can be written to again: {place}lfads ui --sync {run.path}"


def ask(run: Run, query: str) -> list[tuple]:
    """Read the store with sqlite, not with MLflow."""
    with closing(sqlite3.connect(store_of(run.path.parent).database)) as connection:
        return connection.execute(query).fetchall()


def metrics(run: Run, name: str) -> list[tuple[int, float]]:
    return ask(run, f"select step, value from metrics where key = '{name}' order by step, timestamp")


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# Without MLflow, or with a fake in its place: quick.


def test_a_run_is_followed_and_nothing_is_said_when_all_goes_well(run, fake_mlflow, caplog):
    fake_mlflow("pass")
    tracker = start(run)
    log(run, 0)
    run.update_state(status="finished")
    tracker.log(0, {"a": 1.0})
    tracker.artifacts([run.path])
    tracker.close("finished")
    tracker.close("finished")
    assert tracker.run_ids == {"key": "fake"}
    assert tracker.last == {"closed": True, "missing": "", "values": 1, "files": 3}
    assert caplog.records == []


def test_an_mlflow_that_cannot_be_imported_is_one_warning_and_what_is_missing_is_named(run, fake_mlflow, tmp_path, caplog):
    fake_mlflow("pass")
    (tmp_path / "fake" / "mlflow" / "tracking.py").write_text("raise ImportError('no sqlalchemy here')")
    tracker = start(run)
    log(run, *range(3))
    tracker.close("finished")
    assert caplog.messages == [
        f'MLflow: it cannot be imported (no sqlalchemy here); pip install "lfads-core[track]" brings it{GOES_ON}',
        lacks(run, "one"),
    ]


@pytest.mark.long
def test_a_server_that_is_away_is_waited_for_and_named_once(run, fake_mlflow, caplog, monkeypatch):
    monkeypatch.setitem(tracking.PATIENCE, "training", 3.0)
    fake_mlflow("raise ConnectionError('refused')")
    tracker = start(run)
    log(run, 0)
    began = time.monotonic()
    tracker.close("finished")
    assert time.monotonic() - began > 2.9
    assert caplog.messages == [
        f"MLflow: http://nowhere does not take the run (refused); see to MLFLOW_TRACKING_URI and its server{GOES_ON}",
        lacks(run, "one from epoch 0 on"),
    ]


def test_a_server_that_refuses_is_not_waited_for(run, fake_mlflow, caplog):
    fake_mlflow("raise ValueError('no such thing')")
    tracker = start(run)
    log(run, 0)
    began = time.monotonic()
    tracker.close("finished")
    assert time.monotonic() - began < 10
    assert len(caplog.messages) == 2


def test_an_mlflow_that_hangs_is_ended_after_a_while(run, fake_mlflow, caplog, monkeypatch):
    fake_mlflow("import time; time.sleep(1000)")
    monkeypatch.setitem(tracking.PATIENCE, "training", 1.0)
    monkeypatch.setattr(tracking, "MORE", 0.5)
    tracker = start(run)
    log(run, *range(20), **{f"a long name of a metric {i}": 1.0 for i in range(20)})
    began = time.monotonic()
    tracker.close("finished")
    assert time.monotonic() - began < 5
    assert caplog.messages == [f"MLflow: http://nowhere took more than 2 s to store what was left{GOES_ON}", lacks(run, "the rest of one")]
    assert tracker._process.wait(10) == -signal.SIGKILL


def test_an_mlflow_that_crashes_is_one_warning(run, fake_mlflow, caplog):
    fake_mlflow("os._exit(3)")
    tracker = start(run)
    log(run, 0)
    wait_for(lambda: caplog.messages)
    log(run, 1)
    tracker.close("finished")
    assert caplog.messages == [
        f"MLflow: the process that writes to it ended with status 3; see whether `python -c 'import mlflow'` works{GOES_ON}",
        lacks(run, "the rest of one"),
    ]


def test_a_folder_that_a_uri_cannot_name_is_refused(tmp_path):
    folder = tmp_path / "50% off"
    with pytest.raises(
        StoreError, match=re.escape(f"MLflow cannot keep its data in a folder with '%' in its path, got {folder}; choose another with --runs")
    ):
        store_of(folder).uri  # noqa: B018


def test_such_a_folder_costs_the_run_one_warning(tmp_path, caplog):
    run = Run.create(tmp_path / "50% off" / "one")
    trackers = open_trackers(run, RunConfig(), load_registry(), first_epoch=0)
    trackers.log(0, {"a": 1.0})
    trackers.close("finished")
    assert read_fitlog(run.fitlog)["a"] == [1.0]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("MLflow: could not be written (MLflow cannot keep its data in a folder with '%'")


def test_the_lock_of_a_store_waits_and_then_names_itself(tmp_path):
    store = store_of(tmp_path)
    with (
        store.locked(1),
        pytest.raises(StoreError, match=re.escape(f"{tmp_path / '.mlflow.lock'} is held by another lfads process; wait for it, or end it")),
        store.locked(0.1),
    ):
        pass
    with store.locked(0):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, " is gone; put it back, or leave it to the next run to make a new one"),
        (b"not a database at all" * 100, " is damaged (file is not a database); move it away, and the next run makes a new one"),
    ],
)
def test_a_store_that_cannot_be_written_says_why(tmp_path, content, message):
    store = store_of(tmp_path)
    if content is not None:
        store.database.write_bytes(content)
    with pytest.raises(StoreError, match=f"^{re.escape(str(store.database) + message)}$"):
        store.check(0.1)


def test_a_store_held_by_another_program_says_so(tmp_path):
    store = store_of(tmp_path)
    with closing(sqlite3.connect(store.database)) as other:
        other.execute("create table t (x)")
        other.execute("begin exclusive")
        with pytest.raises(
            StoreError, match=re.escape(f"{store.database} is locked by another program; close it, and what is missing is written later")
        ):
            store.check(0.1)
    store.check(0.1)


def test_without_mlflow_a_run_says_what_would_bring_it(run, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("lfads_plugins_tune.mlflow.tracker.importlib.util.find_spec", lambda _: None)
    trackers = open_trackers(run, RunConfig(), load_registry(), first_epoch=0)
    trackers.log(0, {"a": 1.0})
    trackers.close("finished")
    assert caplog.messages == ['not recorded in MLflow, which is not installed: pip install "lfads-core[track]" brings it']
    assert read_fitlog(run.fitlog) == {"epoch": [0], "a": [1.0]}


# With the real one.


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty store, which takes seconds to make."""
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    folder = tmp_path_factory.mktemp("made")
    tracker = start(begun(folder / "first", "another"))
    tracker.close("finished")
    assert tracker.run_ids
    return folder


@pytest.fixture
def ready(run: Run, made_store: Path) -> Run:
    """A run beside a store that is there already."""
    shutil.copy(store_of(made_store).database, store_of(run.path.parent).database)
    return run


@pytest.mark.slow
def test_a_run_arrives_with_settings_curves_files_and_status(run):
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    tracker = start(run)
    table = FitLog(run.fitlog)
    for epoch in range(300):
        row = {"train/total": epoch / 7, "valid/recon/day+1": 1.0, "bad": float("inf")} | ({"valid/bps": 0.5} if epoch % 5 == 4 else {})
        table.append(epoch, row)
    run.plots.mkdir()
    (run.plots / "curves.png").write_bytes(b"png")
    run.update_state(status="finished")
    tracker.close("finished")

    assert metrics(run, "train/total") == [(epoch, epoch / 7) for epoch in range(300)]
    assert [step for step, _ in metrics(run, "valid/bps")] == list(range(4, 300, 5))
    assert len(metrics(run, "valid/recon/day_1")) == 300
    assert ask(run, "select count(*) from metrics where key = 'bad'") == [(0,)]
    assert dict(ask(run, "select key, value from params")) == {"optim.lr": "0.004", "model.controller": "null"}
    assert {("version torch", "2.13.0"), ("lfads.run", "key")} <= set(ask(run, "select key, value from tags"))
    ((name, status, uri, run_id),) = ask(run, "select name, status, artifact_uri, run_uuid from runs")
    assert (name, status, {"key": run_id}) == ("one", "FINISHED", tracker.run_ids)
    files = Path(unquote(urlparse(uri).path))
    assert files.is_relative_to(run.path.parent / "mlartifacts")
    assert sorted(str(p.relative_to(files)) for p in files.rglob("*") if p.is_file()) == ["config.yaml", "fitlog.csv", "plots/curves.png"]
    assert (files / "plots" / "curves.png").samefile(run.plots / "curves.png")  # one place on disk
    assert [p.name for p in run.path.parent.iterdir() if p.name.startswith(".mlflow.db")] == []


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_the_same_mlflow_run_and_has_each_epoch_once(ready):
    first = open_trackers(ready, RunConfig(), load_registry(), first_epoch=0)
    for epoch in range(8):
        first.log(epoch, {"a": float(epoch)})
    ready.update_state(status="interrupted")
    first.close("interrupted")
    assert ask(ready, "select status from runs where name = 'one'") == [("KILLED",)]

    ready.update_state(status="running")
    second = open_trackers(ready, RunConfig(), load_registry(), first_epoch=5)
    for epoch in range(5, 12):
        second.log(epoch, {"a": float(epoch), "b": float(epoch)})
    second.close("finished")
    assert ask(ready, "select status from runs where name = 'one'") == [("FINISHED",)]
    assert metrics(ready, "a") == [(epoch, float(epoch)) for epoch in range(12)]
    assert metrics(ready, "b") == [(epoch, float(epoch)) for epoch in range(5, 12)]
    assert read_fitlog(ready.fitlog)["epoch"] == list(range(12))


@pytest.mark.slow
def test_a_store_locked_for_a_while_gets_everything_in_the_end(ready, caplog, monkeypatch):
    tracker = start(ready)
    wait_for(lambda: tracker.run_ids)
    with closing(sqlite3.connect(store_of(ready.path.parent).database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        log(ready, *range(4))
        wait_for(lambda: caplog.messages)
    tracker.close("finished")
    assert [step for step, _ in metrics(ready, "a")] == [0, 1, 2, 3]
    database = store_of(ready.path.parent).database
    assert caplog.messages == [f"MLflow: {database} is locked by another program; close it, and what is missing is written later{GOES_ON}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "when"), [("corrupt", "before"), ("lock", "before"), ("corrupt", "during"), ("delete", "during"), ("lock", "during")]
)  # a store that is gone before the run is simply made
def test_a_store_that_fails_for_good_costs_one_warning_and_some_seconds(ready, caplog, what, when):
    database = store_of(ready.path.parent).database

    def spoil() -> sqlite3.Connection | None:
        if what == "corrupt":
            database.write_bytes(b"\0garbage" * 4096)
        elif what == "delete":
            database.unlink()
        else:
            other = sqlite3.connect(database, isolation_level=None)
            other.execute("begin exclusive")
            return other
        return None

    other = spoil() if when == "before" else None
    trackers = open_trackers(ready, RunConfig(), load_registry(), first_epoch=0)
    if when == "during":
        wait_for(lambda: next(iter(trackers.others.values())).run_ids)
        other = spoil()
    for epoch in range(3):
        trackers.log(epoch, {"a": 1.0})
    trackers.artifacts([ready.fitlog])
    began = time.monotonic()
    trackers.close("finished")
    assert time.monotonic() - began < 30
    if other is not None:
        other.close()
    assert caplog.messages[1] == lacks(ready, {"before": "one", "during": "one from epoch 0 on"}[when], "")
    wanted = {"corrupt": "is damaged", "delete": "is gone", "lock": "is locked by another program"}[what]
    assert re.fullmatch(rf"MLflow: {re.escape(str(database))} {wanted}.*{re.escape(GOES_ON)}", caplog.messages[0])
    assert read_fitlog(ready.fitlog)["epoch"] == [0, 1, 2]


TRAINING = """
import sys, time
from pathlib import Path
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import dump_plain
from lfads_core.runs import Run
from lfads_core.plugins import load_registry
from lfads_core.track.collect import open_trackers
from lfads_plugins_tune.mlflow import tracker
run = Run.create(Path(sys.argv[1]))
run.config_path.write_text("optim: {lr: 0.004}")
run.update_state(status="running")
tracker.MORE = 300.0  # a machine may be busy
trackers = open_trackers(run, RunConfig(), load_registry(), first_epoch=0)
for epoch in range(int(sys.argv[2])):
    trackers.log(epoch, {"a": float(epoch)})
    time.sleep(float(sys.argv[3]))
run.update_state(status="finished")
trackers.close("finished")
"""


def train(path: Path, epochs: int, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", TRAINING, str(path), str(epochs), str(seconds)], stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_runs_that_start_at_once_on_a_fresh_store_all_arrive(tmp_path):
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    trainings = [train(tmp_path / "runs" / f"run {i}", 20, 0.01) for i in range(3)]
    assert [training.communicate(timeout=500)[1] for training in trainings] == [""] * 3
    run = Run(tmp_path / "runs" / "run 0")
    assert sorted(ask(run, "select name, status from runs")) == [(f"run {i}", "FINISHED") for i in range(3)]
    assert ask(run, "select count(*) from metrics where key = 'a'") == [(60,)]
    assert ask(run, "select count(*) from experiments where name = 'lfads'") == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 3.0, 6.0])
def test_a_training_and_its_writer_killed_at_any_moment_leave_a_store_that_works(tmp_path, seconds):
    pytest.importorskip("sqlalchemy", reason="MLflow is not installed")
    run = Run(tmp_path / "runs" / "killed")
    training = train(run.path, 10_000, 0.01)
    wait_for(run.fitlog.exists)
    time.sleep(seconds)
    children = Path(f"/proc/{training.pid}/task/{training.pid}/children")
    if not children.exists():
        pytest.skip("no /proc to find the writer in")
    for pid in [*map(int, children.read_text().split()), training.pid]:
        os.kill(pid, signal.SIGKILL)
    training.communicate()

    again = open_trackers(run, RunConfig(), load_registry(), first_epoch=3)
    again.log(3, {"b": 3.0})
    again.close("finished")
    assert ask(run, "select name, status from runs") == [("killed", "FINISHED")]
    assert metrics(run, "b") == [(3, 3.0)]
    steps = [step for step, _ in metrics(run, "a")]
    assert steps == list(range(len(steps)))


@pytest.mark.slow
def test_a_training_killed_alone_leaves_a_run_that_is_closed(ready):
    path = ready.path.parent / "killed"
    training = train(path, 10_000, 0.01)
    wait_for(lambda: ask(ready, "select count(*) from metrics where key = 'a'") > [(100,)])
    training.kill()
    training.communicate()
    epochs = len(read_fitlog(path / "fitlog.csv")["epoch"])
    wait_for(lambda: ask(ready, "select status from runs where name = 'killed'") == [("KILLED",)])
    assert epochs - 1 <= len(metrics(ready, "a")) <= epochs


@pytest.mark.slow
def test_a_writer_leaves_no_process_behind_when_a_run_is_closed(ready):
    tracker = start(ready)
    tracker.close("finished")
    assert tracker._process.poll() == 0


def test_only_where_to_look_and_how_it_ended_travels_to_the_process(run, fake_mlflow, monkeypatch):
    fake_mlflow("pass")
    sent = []
    monkeypatch.setattr(tracking.json, "dumps", lambda message, dumps=json.dumps: sent.append(message) or dumps(message))
    tracker = start(run)
    tracker.close("failed")
    assert [list(message) for message in sent] == [["place", "folder", "key", "began"], ["close", "seconds"]]
    assert sent[0]["place"] == {"uri": "http://nowhere", "folder": None, "experiment": "lfads"}
