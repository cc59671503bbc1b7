"""One run in MLflow's store; the only module that imports MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfads_core.track.job import Job
from lfads_core.track.names import Names, shortened
from lfads_core.track.store import Store

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}

_KEY_TAG = "lfads.run"
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the pages then show training runs, not chats
_WAIT_FOR_DATABASE = 5.0
_WAIT_FOR_LOCK = 60.0  # another run may be making the database, which takes seconds
_METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100


@dataclass(frozen=True)
class Point:
    """One value of one quantity; ``time`` in milliseconds since 1970."""

    name: str
    value: float
    time: int
    epoch: int


class Recorder:
    """Keeps what is to be written until it is written: a call that fails loses nothing, and the next one goes on from there.

    Values that are not finite are left out, for MLflow draws infinity at 1.8e308 and spoils the axis; ``fitlog.csv`` has them.
    A run that is opened again takes only epochs that it does not have: epochs that were trained twice keep their first values.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.run_id: str | None = None
        self._store = Store(Path(job.folder)) if job.folder is not None else None
        self._client: Any = None
        self._names = Names()
        self._points: list[Point] = []
        self._files: list[Path] = []
        self._last: dict[str, int] | None = None  # name -> last epoch in the store; None for a new run

    def add(self, epoch: int, row: Mapping[str, float], time: int) -> None:
        """Take one epoch's numbers."""
        self._points += [Point(self._names[name], value, time, epoch) for name, value in row.items() if math.isfinite(value)]

    def add_files(self, paths: Sequence[str]) -> None:
        """Take files and folders."""
        self._files += map(Path, paths)

    def write(self) -> None:
        """Open the run if that has not been done, and write all that was taken.

        Raises:
            StoreError, OSError, ImportError, mlflow.MlflowException: something could not be written.
        """
        if self.run_id is None:
            self._open()
        elif self._store is not None:
            self._store.check(_WAIT_FOR_DATABASE)
        while self._points:
            chunk = self._points[:_METRICS_PER_CALL]
            self._write_points([point for point in chunk if point.epoch > self._last_epoch(point.name)])
            del self._points[: len(chunk)]
        while self._files:
            self._write_file(self._files[0])
            del self._files[0]

    def finish(self, status: str) -> None:
        """Write what is left and give the run its final status."""
        self.write()
        self._client.set_terminated(self.run_id, STATUS[status])

    def _open(self) -> None:
        from mlflow.tracking import MlflowClient

        if self._store is None:
            self._client = MlflowClient(tracking_uri=self.job.uri)
            self._find_or_create(None)
            return
        with self._store.locked(_WAIT_FOR_LOCK):
            if self._store.exists:
                self._store.check(_WAIT_FOR_DATABASE)
            else:
                _make_database(self._store)
            self._client = MlflowClient(tracking_uri=self.job.uri)
            self._find_or_create(self._store.artifacts.as_uri())

    def _find_or_create(self, artifacts: str | None) -> None:
        client, job = self._client, self.job
        experiment = client.get_experiment_by_name(job.experiment)
        if experiment is None:
            experiment_id = client.create_experiment(job.experiment, artifact_location=artifacts, tags=_EXPERIMENT_TAGS)
        else:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                client.restore_experiment(experiment_id)
        found = client.search_runs([experiment_id], filter_string=f"tags.`{_KEY_TAG}` = '{job.key}'", max_results=1)
        if found:
            run_id, known = found[0].info.run_id, dict(found[0].data.params)
            client.update_run(run_id, status="RUNNING", name=job.run_name)
            self._last = {}
        else:
            run_id = client.create_run(experiment_id, start_time=job.started, run_name=job.run_name, tags={_KEY_TAG: job.key}).info.run_id
            known = {}
        self._describe(run_id, known)
        self.run_id = run_id

    def _describe(self, run_id: str, known: Mapping[str, str]) -> None:
        """Write parameters and tags; a parameter that has changed since becomes a tag, for MLflow never changes one."""
        from mlflow.entities import Param, RunTag

        params = [Param(name, value) for name, value in self.job.params.items() if name not in known]
        changed = {f"resumed with {name}": value for name, value in self.job.params.items() if known.get(name, value) != value}
        tags = [RunTag(name, shortened(value)) for name, value in {**self.job.tags, **changed}.items()]
        for start in range(0, max(len(params), 1), _PARAMS_PER_CALL):
            self._client.log_batch(run_id, params=params[start : start + _PARAMS_PER_CALL])
        for start in range(0, len(tags), _PARAMS_PER_CALL):
            self._client.log_batch(run_id, tags=tags[start : start + _PARAMS_PER_CALL])

    def _write_points(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        if points:
            self._client.log_batch(self.run_id, metrics=[Metric(p.name, p.value, p.time, p.epoch) for p in points])

    def _write_file(self, path: Path) -> None:
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), artifact_path=path.name)
        elif path.is_file():
            self._client.log_artifact(self.run_id, str(path))

    def _last_epoch(self, name: str) -> float:
        if self._last is None:
            return -math.inf
        if name not in self._last:
            history = self._client.get_metric_history(self.run_id, name)
            self._last[name] = max((metric.step for metric in history), default=-1)
        return self._last[name]


def _make_database(store: Store) -> None:
    """Make it under another name first: killed half-way, MLflow's own way leaves a file that it can never open again."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left_over in store.folder.glob(f".{store.database.name}.new*"):  # nobody else makes one: we hold the lock
        left_over.unlink()
    fresh = store.database.with_name(f".{store.database.name}.new")
    SqlAlchemyStore(f"sqlite:///{fresh.as_posix()}", store.artifacts.as_uri()).engine.dispose()
    fresh.replace(store.database)
