"""The loop of the process that follows a folder, on a store in memory: one fault is told, what is missing is named, the end comes."""

from __future__ import annotations

import queue
import re
import time

import pytest

from fake_client import PLACE, FakeClient, recorder_of
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import dump
from lfads_core.errors import RunError
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.mlflow import follower
from lfads_plugins_tune.mlflow.follower import follow, may_pass, reason
from lfads_plugins_tune.mlflow.recorder import Recorder
from lfads_plugins_tune.mlflow.store import StoreError

LOCKED = StoreError("it is locked", passing=True)
DONE = {"closed": True, "missing": "", "values": 1, "files": 0}


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run.create(tmp_path / "one")
    run.config_path.write_text(dump(RunConfig()))
    run.update_state(status="running", mlflow_key="k")
    FitLog(run.fitlog).append(3, {"a": 1.0})
    return run


class Until(queue.SimpleQueue):
    """Tells how the run ended as soon as a condition holds."""

    def __init__(self, condition, seconds: float = 0.0) -> None:
        super().__init__()
        self.condition, self.seconds = condition, seconds

    def get(self, timeout=None):
        if not self.condition():
            time.sleep(timeout)
            raise queue.Empty
        return {"close": "interrupted", "seconds": self.seconds}


def served(run: Run, client: FakeClient, inbox: queue.SimpleQueue, period: float = 0.01) -> list:
    replies: list = []
    follow(recorder_of(run.path, client), inbox, replies.append, period=period)
    return replies


def at_once(seconds: float = 0.0) -> Until:
    return Until(lambda: True, seconds)


def test_what_has_ended_is_not_opened_again(run, client, monkeypatch):
    run.update_state(status="finished")
    served(run, client, at_once())
    ended = client.named("one").ended
    monkeypatch.setattr(client, "reopen", lambda _: pytest.fail("opened again"))
    run.update_state(evaluated={"numbers": {"eval/bps": 0.5}, "files": []})
    served(run, client, at_once())
    assert (client.named("one").ended, client.named("one").curve("eval/bps")) == (ended, [(0, 0.5)])


def test_what_the_folder_tells_is_written_and_the_run_is_closed(run, client):
    assert served(run, client, at_once()) == [{"run_ids": {"k": "id-k"}}, DONE]
    assert (client.named("one").curve("a"), client.named("one").status) == ([(3, 1.0)], "interrupted")


def test_a_training_that_is_gone_leaves_an_interrupted_run(run, client):
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    inbox.put(None)
    served(run, client, inbox)
    assert (client.named("one").curve("a"), client.named("one").status) == ([(3, 1.0)], "interrupted")


def test_what_could_not_be_written_is_written_later_and_only_the_first_fault_is_told(run, client):
    client.faults = [StoreError("first"), StoreError("second")]
    assert served(run, client, Until(lambda: client.runs)) == [{"warning": "first"}, {"run_ids": {"k": "id-k"}}, DONE]
    assert client.named("one").status == "interrupted"


def test_a_store_that_says_no_does_not_keep_the_process_and_what_is_missing_is_named(run, client):
    client.faults = [StoreError("damaged")] * 100
    began = time.monotonic()
    missing = {"closed": True, "missing": "one", "values": 0, "files": 0}
    assert served(run, client, at_once(100.0)) == [{"warning": "damaged"}, missing]
    assert time.monotonic() - began < 5
    assert client.runs == {}


@pytest.mark.parametrize("fault", [LOCKED, ConnectionRefusedError("refused"), ConnectionResetError("reset")])
def test_at_the_end_a_store_that_is_locked_or_away_is_waited_for(run, client, monkeypatch, fault):
    monkeypatch.setattr(follower, "RETRY_SECONDS", 0.01)
    client.faults = [fault] * 5
    replies = served(run, client, at_once(60.0))
    assert [next(iter(reply)) for reply in replies] == ["warning", "run_ids", "closed"]
    assert replies[-1] == DONE


def test_but_not_for_longer_than_was_asked(run, client):
    client.faults = [LOCKED] * 10_000
    began = time.monotonic()
    assert [next(iter(reply)) for reply in served(run, client, at_once(0.1))] == ["warning", "closed"]
    assert time.monotonic() - began < 5


def test_attempts_become_rarer_while_they_fail(run, client):
    client.faults = [StoreError("no")] * 100
    end = time.monotonic() + 0.5
    served(run, client, Until(lambda: time.monotonic() > end))
    assert 4 <= 100 - len(client.faults) <= 9  # after 20, 40, 80, ... ms


def test_after_a_write_that_took_long_the_next_one_waits_in_proportion(run, client, monkeypatch):
    def compute(run_id, points) -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    monkeypatch.setattr(client, "metrics", compute)
    attempts: list[float] = []
    write = Recorder.write

    def attempt(self, ended) -> None:
        FitLog(run.fitlog).append(4 + len(attempts), {"a": 1.0})
        attempts.append(time.monotonic())
        write(self, ended)

    monkeypatch.setattr(Recorder, "write", attempt)
    served(run, client, Until(lambda: len(attempts) == 4), period=0.02)
    assert attempts[3] - attempts[2] > 0.05 + 0.8 * follower.REST * 0.05


def test_many_short_epochs_are_written_together(run, client):
    log = FitLog(run.fitlog)
    for epoch in range(4, 500):
        log.append(epoch, {"a": 1.0})
    served(run, client, at_once())
    assert len(client.named("one").points) == 497
    assert client.calls < 15


class FromMlflowError(Exception):
    """As MLflow's exceptions say how a server answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"API request to endpoint /api/2.0/mlflow/runs/log-batch failed with error code {status} != 200. Response body: ''")
        self.status = status

    def get_http_status_code(self) -> int:
        return self.status


@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        (LOCKED, True),
        (StoreError("damaged"), False),
        (ConnectionRefusedError(), True),
        (OSError("Temporary failure in name resolution"), True),
        (FromMlflowError(503), True),
        (FromMlflowError(429), True),
        (FromMlflowError(403), False),
        (FromMlflowError(404), False),
        (ImportError("no sqlalchemy"), False),
        (ValueError("a bug"), False),
    ],
)
def test_servers_that_are_away_or_overworked_may_come_back_and_those_that_say_no_may_not(fault, passes):
    assert may_pass(fault) is passes


SEE = "; see to MLFLOW_TRACKING_URI and its server"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (StoreError("it is so; do this"), "it is so; do this"),
        (RunError("run.json: must be JSON."), "run.json: must be JSON"),
        (
            ImportError("No module named 'sqlalchemy'"),
            "it cannot be imported (No module named 'sqlalchemy'); pip install \"lfads-core[track]\" brings it",
        ),
        (ConnectionError("no way\nand so on"), f"http://host:5000 does not take the run (no way){SEE}"),
        (
            ConnectionError(
                "HTTPConnectionPool(host='host', port=5000): Max retries exceeded with url: /api (Caused by [Errno 111] Connection refused)"
            ),
            f"http://host:5000 does not take the run (Connection refused){SEE}",
        ),
        (FromMlflowError(502), f"http://host:5000 does not take the run (error code 502){SEE}"),
        (ValueError(), f"http://host:5000 does not take the run (ValueError){SEE}"),
    ],
)
def test_a_fault_is_told_in_one_line_with_what_to_do_and_without_passwords(fault, text):
    assert reason(fault, PLACE) == text
    assert not re.search("secret|\n", reason(fault, PLACE))
