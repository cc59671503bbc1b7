"""A store in memory in the place of MLflow's: what was written into it, and faults on demand."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lfads_plugins_tune.mlflow.client import Client, Known, Point
from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.process import WriterProcess
from lfads_plugins_tune.mlflow.recorder import Recorder
from lfads_plugins_tune.mlflow.view import View
from lfads_plugins_tune.mlflow.writer import serve


@dataclass
class StoredRun:
    """One run as the store has it."""

    job: Job
    parent: str | None
    points: list[tuple[str, float, int, int]] = field(default_factory=list)  # name, value, epoch, time
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    status: str = "RUNNING"
    ended: int | None = None

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Epochs and values of one metric, as they were written."""
        return [(epoch, value) for ours, value, epoch, _ in self.points if ours == name]


class FakeClient(Client):
    """Runs are named by our keys, and their ids are ``id-<key>``."""

    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.faults: list[Exception] = []  # raised by the next calls, one each
        self.broken: set[str] = set()  # ids of runs that take nothing
        self.calls = 0
        self.views: list[tuple[str, View]] = []

    def _call(self, run_id: str | None = None) -> None:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        if run_id in self.broken:
            raise ValueError(f"{run_id} is deleted")

    def of(self, key: str) -> StoredRun:
        return self.runs[f"id-{key}"]

    def experiment(self, name: str, artifacts: str | None) -> str:
        self._call()
        return "1"

    def find(self, experiment: str, key: str) -> Known | None:
        self._call()
        run = self.runs.get(f"id-{key}")
        if run is None:
            return None
        return Known(f"id-{key}", dict(run.params), {name: max(e for n, _, e, _ in run.points if n == name) for name, *_ in run.points})

    def create(self, experiment: str, job: Job, parent: str | None) -> Known:
        self._call()
        self.runs[f"id-{job.key}"] = StoredRun(job, parent)
        return Known(f"id-{job.key}", {}, {})

    def reopen(self, run_id: str, name: str) -> None:
        self._call(run_id)
        self.runs[run_id].status = "RUNNING"

    def metrics(self, run_id: str, points: Iterable[Point]) -> None:
        self._call(run_id)
        new = [(p.name, p.value, p.epoch, p.time) for p in points]
        assert len(new) <= 1000, "MLflow takes a thousand values at once"
        self.runs[run_id].points += new

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        self._call(run_id)
        self.runs[run_id].params |= params

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._call(run_id)
        self.runs[run_id].tags |= tags

    def files(self, run_id: str, path: Path) -> None:
        self._call(run_id)
        self.runs[run_id].files.append(str(path))

    def view(self, experiment: str, run_id: str, view: View) -> None:
        self._call(run_id)
        self.views.append((run_id, view))

    def end(self, run_id: str, status: str, time: int) -> None:
        self._call(run_id)
        self.runs[run_id].status, self.runs[run_id].ended = status, time


class DirectWriter(WriterProcess):
    """Hands its messages to a recorder at the end, in this process."""

    def __init__(self, place: ExperimentAddress, what: str, client: FakeClient) -> None:
        self.place, self.what, self.client = place, what, client
        self.run_ids = {}
        self._outbox = queue.SimpleQueue()
        self._closed = self._warned = False
        self._clock = lambda: 1000
        self._clock.began = 1000

    def close(self, status: str, *, seconds: float, patience: float) -> None:
        self._outbox.put({"close": status, "time": self._clock(), "seconds": 0.0})
        serve(Recorder(self.place, lambda _: self.client), self._outbox, self.take)

    def take(self, reply: dict) -> None:
        self.run_ids |= reply.get("run_ids", {})
        if "warning" in reply:
            self.warn(reply["warning"])
