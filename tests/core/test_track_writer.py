"""The loop of the writer process, without MLflow: nothing that was taken is lost, one fault is told, the end comes."""

from __future__ import annotations

import queue
import re
import time

import pytest

from lfads_core.track.job import Job
from lfads_core.track.recorder import Recorder
from lfads_core.track.store import StoreError
from lfads_core.track.writer import reason, serve

JOB = Job(uri="http://me:secret@host:5000", folder=None, experiment="lfads", run_name="run", key="k", started=0, params={}, tags={})
ROW = {"epoch": 3, "row": {"a": 1.0}, "time": 7}


class Spy(Recorder):
    """Writes into a list; the first writes fail."""

    def __init__(self, faults: list[Exception]) -> None:
        super().__init__(JOB)
        self.faults = faults
        self.written: list[tuple[str, float, int, int]] = []
        self.files: list[str] = []
        self.status: str | None = None
        self.attempts = 0

    def write(self) -> None:
        self.attempts += 1
        if self.faults:
            raise self.faults.pop(0)
        self.run_id = "id"
        self.written += [(p.name, p.value, p.epoch, p.time) for p in self._points]
        self.files += map(str, self._files)
        self._points, self._files = [], []

    def finish(self, status: str) -> None:
        self.write()
        self.status = status


@pytest.fixture
def inbox() -> queue.SimpleQueue:
    return queue.SimpleQueue()


def run(spy: Spy, inbox: queue.SimpleQueue, period: float = 0.01) -> list:
    replies: list = []
    serve(spy, inbox, replies.append, period=period)
    return replies


def test_rows_and_files_are_written_and_the_run_is_closed(inbox):
    for message in (ROW, {"files": ["x", "y"]}, {"close": "finished"}):
        inbox.put(message)
    spy = Spy([])
    assert run(spy, inbox) == [{"run_id": "id"}, {"closed": True}]
    assert (spy.written, spy.files, spy.status) == ([("a", 1.0, 3, 7)], ["x", "y"], "finished")


def test_a_training_that_is_gone_leaves_an_interrupted_run(inbox):
    inbox.put(ROW)
    inbox.put(None)
    spy = Spy([])
    run(spy, inbox)
    assert (spy.written, spy.status) == ([("a", 1.0, 3, 7)], "interrupted")


def test_what_could_not_be_written_is_written_later_and_only_the_first_fault_is_told(inbox):
    spy = Spy([StoreError("first"), StoreError("second")])
    inbox.put(ROW)
    write = spy.write

    def write_and_close_after_the_fourth() -> None:
        try:
            write()
        finally:
            if spy.attempts == 4:
                inbox.put({"close": "finished"})

    spy.write = write_and_close_after_the_fourth
    assert run(spy, inbox) == [{"warning": "first"}, {"run_id": "id"}, {"closed": True}]
    assert (len(spy.written), spy.status) == (1, "finished")


def test_a_store_that_never_comes_back_does_not_keep_the_process(inbox):
    inbox.put({"close": "finished"})
    spy = Spy([OSError("gone")] * 100)
    assert [list(reply) for reply in run(spy, inbox)] == [["warning"], ["closed"]]
    assert spy.status is None


def test_attempts_become_rarer_while_they_fail(inbox):
    spy = Spy([StoreError("no")] * 100)
    end = time.monotonic() + 0.5

    class Until(queue.SimpleQueue):
        def get(self, timeout=None):
            if time.monotonic() < end:
                time.sleep(timeout)
                raise queue.Empty

    serve(spy, Until(), [].append, period=0.01)
    assert 4 <= spy.attempts <= 8  # after 20, 40, 80, ... ms


def test_many_short_epochs_are_written_together(inbox):
    spy = Spy([])
    for _ in range(500):
        inbox.put(ROW)
    inbox.put({"close": "finished"})
    run(spy, inbox, period=5.0)
    assert (len(spy.written), spy.attempts) == (500, 2)


def test_values_that_are_no_finite_numbers_are_left_out_and_names_made_fit(inbox):
    spy = Spy([])
    inbox.put({"epoch": 0, "row": {"x+y": 1.0, "inf": float("inf"), "nan": float("nan"), "low": float("-inf")}, "time": 1})
    inbox.put({"close": "finished"})
    run(spy, inbox)
    assert spy.written == [("x_y", 1.0, 0, 1)]


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
    assert reason(fault, JOB) == text
    assert not re.search("secret|\n", reason(fault, JOB))
