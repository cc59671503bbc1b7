"""The loop of the writer process, on a store in memory: nothing that was taken is lost, one fault is told, the end comes."""

from __future__ import annotations

import queue
import re
import time
from dataclasses import asdict

import pytest

from fake_client import FakeClient
from lfads_plugins_tune.mlflow import recorder as recording
from lfads_plugins_tune.mlflow import writer
from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.recorder import Recorder
from lfads_plugins_tune.mlflow.store import StoreError
from lfads_plugins_tune.mlflow.writer import reason, serve

PLACE = ExperimentAddress(uri="http://me:secret@host:5000", folder=None, experiment="lfads")
OPEN = {"open": asdict(Job(run_name="run", key="k", started=0, params={}, tags={}))}
ROW = {"run": "k", "epoch": 3, "row": {"a": 1.0}, "time": 7}
LOCKED = StoreError("it is locked", passing=True)


def close(status: str = "finished", seconds: float = 0.0) -> dict:
    return {"close": status, "time": 99, "seconds": seconds}


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


class Until(queue.SimpleQueue):
    """Gives its messages at once, and each of ``later`` as soon as its condition holds."""

    def __init__(self, messages, *later) -> None:
        super().__init__()
        self.later = list(later)
        for message in messages:
            self.put(message)

    def get(self, timeout=None):
        try:
            return super().get(timeout=0)
        except queue.Empty:
            if self.later and self.later[0][0]():
                return self.later.pop(0)[1]
            time.sleep(timeout)
            raise


def run(client: FakeClient, *messages: dict | None, period: float = 0.01) -> list:
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    for message in messages:
        inbox.put(message)
    return serve_from(client, inbox, period)


def serve_from(client: FakeClient, inbox: queue.SimpleQueue, period: float = 0.01) -> list:
    replies: list = []
    serve(Recorder(PLACE, lambda _: client), inbox, replies.append, period=period)
    return replies


def test_rows_and_files_are_written_and_the_run_is_closed(client):
    assert run(client, OPEN, ROW, {"run": "k", "files": ["x", "y"]}, close()) == [{"run_ids": {"k": "id-k"}}, {"closed": True}]
    stored = client.of("k")
    assert (stored.points, stored.files, stored.status, stored.ended) == ([("a", 1.0, 3, 7)], ["x", "y"], "finished", 99)


def test_a_training_that_is_gone_leaves_an_interrupted_run(client):
    run(client, OPEN, ROW, None)
    assert (client.of("k").points, client.of("k").status) == ([("a", 1.0, 3, 7)], "interrupted")


def test_what_could_not_be_written_is_written_later_and_only_the_first_fault_is_told(client):
    client.faults = [StoreError("first"), StoreError("second")]
    inbox = Until([OPEN, ROW], (lambda: client.runs, close()))
    assert serve_from(client, inbox) == [{"warning": "first"}, {"run_ids": {"k": "id-k"}}, {"closed": True}]
    assert (len(client.of("k").points), client.of("k").status) == (1, "finished")


def test_a_store_that_never_comes_back_does_not_keep_the_process(client):
    client.faults = [OSError("gone")] * 100
    assert [list(reply) for reply in run(client, OPEN, close(seconds=100.0))] == [["warning"], ["closed"]]
    assert client.runs == {}


def test_at_the_end_a_locked_store_is_waited_for(client, monkeypatch):
    monkeypatch.setattr(writer, "_RETRY_SECONDS", 0.01)
    client.faults = [LOCKED] * 5
    assert run(client, OPEN, ROW, close(seconds=60.0)) == [{"warning": "it is locked"}, {"run_ids": {"k": "id-k"}}, {"closed": True}]
    assert client.of("k").status == "finished"


def test_but_not_for_longer_than_was_asked(client):
    client.faults = [LOCKED] * 10_000
    began = time.monotonic()
    assert run(client, OPEN, ROW, close(seconds=0.1)) == [{"warning": "it is locked"}, {"closed": True}]
    assert time.monotonic() - began < 5


def test_attempts_become_rarer_while_they_fail(client):
    client.faults = [StoreError("no")] * 100
    end = time.monotonic() + 0.5
    serve_from(client, Until([OPEN], (lambda: time.monotonic() > end, close())))
    assert 4 <= 100 - len(client.faults) <= 9  # after 20, 40, 80, ... ms


def test_after_a_write_that_took_long_the_next_one_waits_in_proportion(client, monkeypatch):
    def compute(run_id, points) -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    monkeypatch.setattr(client, "metrics", compute)
    attempts: list[float] = []
    write = Recorder.write
    monkeypatch.setattr(Recorder, "write", lambda self: attempts.append(time.monotonic()) or write(self))
    inbox = Until([OPEN], (lambda: len(attempts) == 2, ROW), (lambda: len(attempts) == 4, close()))
    serve_from(client, inbox, period=0.02)
    assert attempts[3] - attempts[2] > 0.05 + 0.8 * writer.REST * 0.05


def test_many_short_epochs_are_written_together(client):
    run(client, OPEN, *({**ROW, "epoch": epoch} for epoch in range(500)), close(), period=5.0)
    assert len(client.of("k").points) == 500
    assert client.calls < 10


def test_values_that_are_no_finite_numbers_are_left_out_and_names_made_fit(client):
    row = {"x+y": 1.0, "inf": float("inf"), "nan": float("nan"), "low": float("-inf")}
    run(client, OPEN, {"run": "k", "epoch": 0, "row": row, "time": 1}, close())
    assert client.of("k").points == [("x_y", 1.0, 0, 1)]


def test_what_waits_is_thinned_when_it_becomes_too_much_and_that_is_told_once(client, monkeypatch):
    monkeypatch.setattr(recording, "MOST_WAITING", 100)
    client.faults = [LOCKED] * 3
    rows = [{**ROW, "epoch": epoch} for epoch in range(101)]
    inbox = Until([OPEN, *rows], (lambda: client.runs, close()))
    replies = serve_from(client, inbox)
    assert replies[0] == {"warning": "it is locked"}  # the first fault of all
    assert [epoch for epoch, _ in client.of("k").curve("a")] == list(range(0, 101, 2))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (StoreError("it is so; do this"), "it is so; do this"),
        (
            ImportError("No module named 'sqlalchemy'"),
            "it cannot be imported (No module named 'sqlalchemy'); pip install \"lfads-core[track]\" brings it",
        ),
        (
            ConnectionError("refused\nand so on"),
            "http://host:5000 does not take the run (refused); see to MLFLOW_TRACKING_URI and its server",
        ),
        (ValueError(), "http://host:5000 does not take the run (ValueError); see to MLFLOW_TRACKING_URI and its server"),
    ],
)
def test_a_fault_is_told_in_one_line_with_what_to_do_and_without_passwords(fault, text):
    assert reason(fault, PLACE) == text
    assert not re.search("secret|\n", reason(fault, PLACE))
