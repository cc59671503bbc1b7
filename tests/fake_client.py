"""A store in memory in the place of MLflow's: what was written into it, and faults on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lfads_plugins_tune.mlflow.client import Client, Point, StoredRun
from lfads_plugins_tune.mlflow.follower import steady_clock
from lfads_plugins_tune.mlflow.recorder import Recorder
from lfads_plugins_tune.mlflow.records import key_of
from lfads_plugins_tune.mlflow.store import ExperimentAddress
from lfads_plugins_tune.mlflow.view import View

PLACE = ExperimentAddress(uri="http://me:secret@host:5000", folder=None, experiment="lfads")


@dataclass
class FakeRun:
    """One run as the store has it."""

    name: str
    parent: str | None
    started: int
    points: list[tuple[str, float, int, int]] = field(default_factory=list)  # name, value, epoch, time
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    status: str | None = None
    ended: int | None = None

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Epochs and values of one metric, as they were written."""
        return [(epoch, value) for ours, value, epoch, _ in self.points if ours == name]


class FakeClient(Client):
    """Runs are named by our keys, and their ids are ``id-<key>``."""

    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
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

    def named(self, name: str) -> FakeRun:
        """The run of this name."""
        (run,) = [run for run in self.runs.values() if run.name == name]
        return run

    def experiment(self, name: str, artifacts: str | None) -> str:
        self._call()
        return "1"

    def find(self, experiment: str, key: str) -> StoredRun | None:
        self._call()
        return self.known(f"id-{key}") if f"id-{key}" in self.runs else None

    def known(self, run_id: str) -> StoredRun:
        self._call(run_id)
        run = self.runs[run_id]
        last = {name: max((e, v) for n, v, e, _ in run.points if n == name) for name, *_ in run.points}
        steps, values = {name: step for name, (step, _) in last.items()}, {name: value for name, (_, value) in last.items()}
        return StoredRun(run_id=run_id, name=run.name, params=dict(run.params), tags=dict(run.tags), steps=steps, values=values, status=run.status)

    def has_run_called(self, experiment: str, name: str) -> bool:
        self._call()
        return any(run.name == name for run in self.runs.values())

    def create(self, experiment: str, what: tuple[str, str, int], parent: str | None) -> StoredRun:
        self._call()
        key, name, started = what
        self.runs[f"id-{key}"] = FakeRun(name, parent, started)
        return StoredRun(run_id=f"id-{key}", name=name)

    def reopen(self, run_id: str) -> None:
        self._call(run_id)
        self.runs[run_id].status = None

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

    def files(self, run_id: str, path: Path, *, linked: bool) -> None:
        self._call(run_id)
        self.runs[run_id].files.append(path.name)

    def view(self, experiment: str, run_id: str, view: View) -> None:
        self._call(run_id)
        self.views.append((run_id, view))

    def end(self, run_id: str, status: str, time: int) -> None:
        self._call(run_id)
        self.runs[run_id].status, self.runs[run_id].ended = status, time


def recorder_of(folder: Path, client: FakeClient) -> Recorder:
    """What a process that begins to follow this folder would write with."""
    key = key_of(folder, make=True)
    assert key is not None
    return Recorder(folder, key, PLACE, steady_clock(1000), lambda _: client)


def record(folder: Path, client: FakeClient, ended: str | None = "interrupted") -> None:
    """Bring the store up to the folder once."""
    recorder_of(folder, client).write(ended)
