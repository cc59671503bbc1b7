"""MLflow's client in our words; the only module that imports MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lfads_core.config.flat import Names, shortened
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


@dataclass(kw_only=True)
class StoredRun:
    """What the store has of a run, by MLflow's names; whoever writes more adds it here."""

    run_id: str
    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)  # the last one of each metric
    values: dict[str, float] = field(default_factory=dict)  # the value there
    status: str | None = None  # in our words; None while it goes on
    names: Names = field(default_factory=Names)


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

    def find(self, experiment: str, key: str) -> StoredRun | None:
        """The run with this key of ours, if there is one."""
        found = self._mlflow.search_runs([experiment], filter_string=f"tags.`{_KEY_TAG}` = '{key}'", max_results=1)
        return _known(found[0]) if found else None

    def known(self, run_id: str) -> StoredRun:
        """What the store has of a run by now."""
        return _known(self._mlflow.get_run(run_id))

    def has_run_called(self, experiment: str, name: str) -> bool:
        """Whether a run has this name; False for a name that MLflow cannot be asked for."""
        return '"' not in name and bool(self._mlflow.search_runs([experiment], filter_string=f'attributes.run_name = "{name}"', max_results=1))

    def create(self, experiment: str, what: tuple[str, str, int], parent: str | None) -> StoredRun:
        """Begin a run, below the run with the id ``parent``; ``what`` is our key, its name, and when it started."""
        key, name, started = what
        tags = {_KEY_TAG: key, **({} if parent is None else {_PARENT_TAG: parent})}
        run = self._mlflow.create_run(experiment, start_time=started, run_name=name, tags=tags)
        return StoredRun(run_id=str(run.info.run_id), name=name)

    def reopen(self, run_id: str) -> None:
        """Have a run going again."""
        self._mlflow.update_run(run_id, status="RUNNING")

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

    def files(self, run_id: str, path: Path, *, linked: bool) -> None:
        """Copy a file, or a folder under its name, into the store; ``linked`` takes no room on disk, where store and file share one."""
        if linked and _link(path, Path(unquote(urlsplit(self._mlflow.get_run(run_id).info.artifact_uri).path))):
            return
        if path.is_dir():
            self._mlflow.log_artifacts(run_id, str(path), artifact_path=path.name)
        else:
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


def _known(run: Any) -> StoredRun:
    ended = {theirs: ours for ours, theirs in STATUS.items()}
    metrics = list(run.data.to_proto().metrics)
    return StoredRun(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        steps={metric.key: int(metric.step) for metric in metrics},
        values={metric.key: float(metric.value) for metric in metrics},
        status=ended.get(run.info.status),
    )


def _link(path: Path, folder: Path) -> bool:
    """Give a file, or all in a folder, a second name in the store's folder; False where that cannot be."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    try:
        for file in files:
            place = folder / file.relative_to(path.parent)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.hardlink_to(file)
    except OSError:
        return False
    return True


def _portions(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + _PER_CALL] for start in range(0, len(items), _PER_CALL)]
