"""One run on its way into MLflow's store: what it is, and what is still to be written of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lfads_core.config.flat import Names
from lfads_core.errors import RunError
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_tune.mlflow.client import Client, Known, Point
from lfads_plugins_tune.mlflow.job import Job
from lfads_plugins_tune.mlflow.view import View

METRICS_PER_CALL = 500
"""Values handed over at once: MLflow takes up to a thousand, and is quickest with a few hundred."""

Row = tuple[int, Mapping[str, float], int]
"""Epoch, numbers by name, milliseconds since 1970."""


class RecordedRun:
    """Keeps what is to be written until it is written: a call that fails loses nothing, and the next one goes on from there.

    Values that are not finite are left out, for MLflow draws infinity at 1.8e308 and spoils the axis; ``fitlog.csv`` has them.
    Each metric takes only steps after its last one: epochs that were trained twice keep their first values.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.run_id: str | None = None
        self.status: str | None = None  # the final one, once it is known
        self._ended = 0  # milliseconds since 1970
        self._stored_status: str | None = None
        self._names = Names()
        self._steps: dict[str, int] = {}  # MLflow's name -> last step in the store
        self._rows: list[Row] = []
        self._files: list[Path] = []
        self._tags: dict[str, str] = {}
        self._view: View | None = None
        self._experiment = ""
        self._links: dict[str, str] = {}  # tag -> key of the run whose id it takes

    def add(self, epoch: int, row: Mapping[str, float], time: int) -> None:
        """Take one epoch's numbers; a run that had ended goes on."""
        self._rows.append((epoch, row, time))
        self.status = None

    def add_table(self, path: Path, before: int, time: int) -> None:
        """Take the epochs before ``before`` from a ``fitlog.csv``, if there is one: those the store lacks are written, as if at ``time``."""
        try:
            table = read_fitlog(path)
        except RunError:
            return
        epochs = [int(epoch) for epoch in table.pop("epoch")]
        self._rows += [(epoch, {name: column[i] for name, column in table.items()}, time) for i, epoch in enumerate(epochs) if epoch < before]

    def add_files(self, paths: Sequence[str]) -> None:
        """Take files and folders."""
        self._files += map(Path, paths)

    def add_tags(self, tags: Mapping[str, str], links: Mapping[str, str]) -> None:
        """Take tags; those in ``links`` get the id of the run whose key they name."""
        self._tags |= tags
        self._links |= links

    def add_view(self, view: View) -> None:
        """Take a view of the pages, in which this run shows its members."""
        self._view = view

    def end(self, status: str, time: int) -> None:
        """Take the final status."""
        self.status, self._ended = status, time

    @property
    def waiting(self) -> int:
        """How many values wait to be written."""
        return sum(len(row) for _, row, _ in self._rows)

    def thin(self) -> None:
        """Let go of every second waiting epoch, but never of the last."""
        self._rows = self._rows[:-1][::2] + self._rows[-1:]

    def open(self, client: Client, experiment: str, parent: str | None) -> None:
        """Find the run again or begin it, and describe it."""
        known = client.find(experiment, self.job.key)
        if known is None:
            known = client.create(experiment, self.job, parent)
        else:
            client.reopen(known.run_id, self.job.run_name)
        self._describe(client, known)
        self._steps = dict(known.steps)
        self._experiment, self.run_id = experiment, known.run_id

    def write(self, client: Client, id_of: Callable[[str], str | None]) -> None:
        """Write all that was taken; ``id_of`` gives MLflow's ids of our keys."""
        if self.run_id is None:
            raise RuntimeError("a run must be opened before it is written")
        if self._stored_status is not None and self.status is None:
            client.reopen(self.run_id, self.job.run_name)
            self._stored_status = None
        self._write_rows(client, self.run_id)
        tags = self._tags | {tag: run_id for tag, key in self._links.items() if (run_id := id_of(key)) is not None}
        if tags:
            client.tags(self.run_id, tags)
            self._tags = {}
            self._links = {tag: key for tag, key in self._links.items() if tag not in tags}
        if self._view is not None:
            client.view(self._experiment, self.run_id, self._view)
            self._view = None
        while self._files:
            client.files(self.run_id, self._files[0])
            del self._files[0]
        if self.status is not None and self.status != self._stored_status:
            client.end(self.run_id, self.status, self._ended)
            self._stored_status = self.status

    def _describe(self, client: Client, known: Known) -> None:
        """Write parameters and tags; a parameter that has changed since becomes a tag, for MLflow never changes one."""
        client.params(known.run_id, {name: value for name, value in self.job.params.items() if name not in known.params})
        changed = {f"resumed with {name}": value for name, value in self.job.params.items() if known.params.get(name, value) != value}
        client.tags(known.run_id, {**self.job.tags, **changed})

    def _write_rows(self, client: Client, run_id: str) -> None:
        while self._rows:
            points: list[Point] = []
            steps, taken = dict(self._steps), 0
            for epoch, row, time in self._rows:
                if points and len(points) + len(row) > METRICS_PER_CALL:
                    break
                taken += 1
                for name, value in row.items():
                    ours = self._names[name]
                    if math.isfinite(value) and epoch > steps.get(ours, -1):
                        points.append(Point(ours, value, time, epoch))
                        steps[ours] = epoch
            for start in range(0, len(points), METRICS_PER_CALL):  # a single row may be long
                client.metrics(run_id, points[start : start + METRICS_PER_CALL])
            self._steps = steps
            del self._rows[:taken]
