"""MLflow's client in our words; the only module that imports MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfads_core.config.flat import shortened
from lfads_plugins_tune.mlflow.job import Job
from lfads_plugins_tune.mlflow.store import Store
from lfads_plugins_tune.mlflow.view import View, experiment_tag

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}

_KEY_TAG = "lfads.run"
_PARENT_TAG = "mlflow.parentRunId"
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the pages then show training runs, not chats
_PER_CALL = 100  # parameters, or tags


@dataclass(frozen=True)
class Point:
    """One value of one quantity; ``time`` in milliseconds since 1970."""

    name: str
    value: float
    time: int
    epoch: int


@dataclass(frozen=True)
class Known:
    """What the store has of a run: its parameters, and the last step of each metric."""

    run_id: str
    params: Mapping[str, str]
    steps: Mapping[str, int]


class Client:
    """What is done to one store. Every method raises whatever MLflow raises."""

    def __init__(self, uri: str) -> None:
        from mlflow.tracking import MlflowClient

        self._mlflow: Any = MlflowClient(tracking_uri=uri)

    def experiment(self, name: str, artifacts: str | None) -> str:
        """Id of the experiment of this name, which is made or brought back if need be."""
        found = self._mlflow.get_experiment_by_name(name)
        if found is None:
            return str(self._mlflow.create_experiment(name, artifact_location=artifacts, tags=_EXPERIMENT_TAGS))
        if found.lifecycle_stage == "deleted":
            self._mlflow.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def find(self, experiment: str, key: str) -> Known | None:
        """The run with this key of ours, if there is one."""
        found = self._mlflow.search_runs([experiment], filter_string=f"tags.`{_KEY_TAG}` = '{key}'", max_results=1)
        if not found:
            return None
        data = found[0].data
        return Known(str(found[0].info.run_id), dict(data.params), {metric.key: int(metric.step) for metric in data.to_proto().metrics})

    def create(self, experiment: str, job: Job, parent: str | None) -> Known:
        """Begin a run, below the run with the id ``parent``."""
        tags = {_KEY_TAG: job.key, **({} if parent is None else {_PARENT_TAG: parent})}
        run = self._mlflow.create_run(experiment, start_time=job.started, run_name=job.run_name, tags=tags)
        return Known(str(run.info.run_id), {}, {})

    def reopen(self, run_id: str, name: str) -> None:
        """Have a run going again."""
        self._mlflow.update_run(run_id, status="RUNNING", name=name)

    def metrics(self, run_id: str, points: Iterable[Point]) -> None:
        """Add at most a thousand values."""
        from mlflow.entities import Metric

        self._mlflow.log_batch(run_id, metrics=[Metric(p.name, p.value, p.time, p.epoch) for p in points])

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add parameters, which must be new or the same as before."""
        from mlflow.entities import Param

        for some in _portions([Param(name, value) for name, value in params.items()]):
            self._mlflow.log_batch(run_id, params=some)

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        for some in _portions([RunTag(name, shortened(value)) for name, value in tags.items()]):
            self._mlflow.log_batch(run_id, tags=some)

    def files(self, run_id: str, path: Path) -> None:
        """Copy a file, or a folder under its name, into the store; nothing if it is gone."""
        if path.is_dir():
            self._mlflow.log_artifacts(run_id, str(path), artifact_path=path.name)
        elif path.is_file():
            self._mlflow.log_artifact(run_id, str(path))

    def view(self, experiment: str, run_id: str, view: View) -> None:
        """Prepare a view of the pages, in which this run shows its members."""
        if (tag := experiment_tag(view, run_id)) is not None:
            self._mlflow.set_experiment_tag(experiment, *tag)

    def end(self, run_id: str, status: str, time: int) -> None:
        """Give a run its final status; ``time`` in milliseconds since 1970."""
        self._mlflow.set_terminated(run_id, STATUS[status], end_time=time)


def make_database(store: Store) -> None:
    """Make it under another name first: killed half-way, MLflow's own way leaves a file that it can never open again."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left_over in store.folder.glob(f".{store.database.name}.new*"):  # nobody else makes one: we hold the lock
        left_over.unlink()
    fresh = store.database.with_name(f".{store.database.name}.new")
    SqlAlchemyStore(f"sqlite:///{fresh.as_posix()}", store.artifacts.as_uri()).engine.dispose()
    fresh.replace(store.database)


def _portions(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + _PER_CALL] for start in range(0, len(items), _PER_CALL)]
