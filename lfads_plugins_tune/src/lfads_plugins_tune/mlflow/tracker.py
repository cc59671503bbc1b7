"""MLflow as a tracker of one run."""

from __future__ import annotations

import importlib.util
import logging
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from lfads_core.config.flat import flatten
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.process import WriterProcess, place_for
from lfads_plugins_tune.mlflow.settings import track_of
from lfads_plugins_tune.mlflow.store import INSTALL

log = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long the end of a run waits for what is still to be written."""

LOCK_SECONDS = 15.0
"""How much of that is spent on a store that another program holds."""


class MlflowTracker:
    """Fulfils :class:`~lfads_core.track.tracker.Tracker`. Whatever goes wrong is one warning; nothing raises or blocks.

    The store is the sqlite file beside the run, or the one that ``MLFLOW_TRACKING_URI`` names.
    """

    def __init__(self, place: ExperimentAddress, key: str) -> None:
        self.key = key
        self.writer = WriterProcess(place, "training")

    @classmethod
    def start(cls, run: Run, params: Mapping[str, object], *, experiment: str, key: str, tags: Mapping[str, str] | None = None) -> MlflowTracker:
        """Begin to record a run, or go on with the one that has this ``key``, our own name for it.

        ``params`` are nested settings in plain data.

        Raises:
            StoreError: MLflow cannot use the folder.
            OSError: the writer process cannot be started.
        """
        tracker = cls(place_for(run.path.resolve().parent, experiment), key)
        job = Job(
            run_name=run.name,
            key=key,
            started=tracker.writer.started,
            params=flatten(params),
            tags=origin_tags(run.path, "lfads run") | dict(tags or {}),
        )
        tracker.writer.open(job)
        return tracker

    @property
    def run_id(self) -> str | None:
        """MLflow's own name of the run, once the store has given it."""
        return self.writer.run_ids.get(self.key)

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Send one epoch's numbers; they are written some seconds later."""
        self.writer.log(self.key, epoch, row)

    def refill(self, fitlog: Path, before: int) -> None:
        """Have epochs before ``before`` that the store lacks written from the table."""
        self.writer.refill(self.key, fitlog, before)

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Have files and folders copied into the store."""
        self.writer.artifacts(self.key, list(paths))

    def close(self, status: str) -> None:
        """Have everything written, and wait for that, but not for ever."""
        self.writer.close(status, seconds=CLOSE_SECONDS, patience=LOCK_SECONDS)


def origin_tags(path: Path, command: str) -> dict[str, str]:
    """Tags that say what made a run and where its folder is."""
    return {"lfads.path": str(path.resolve()), "mlflow.source.name": command, "mlflow.source.type": "LOCAL"}


def open_tracker(run: Run, config: RunConfig, first_epoch: int) -> MlflowTracker | None:
    """Begin to record a run, if the settings want it and MLflow is installed; for ``lfads_trackers``.

    A run that goes on with ``first_epoch`` > 0 goes on with its MLflow run, which ``run.json`` knows.
    """
    track = track_of(config)
    if not track.mlflow:
        return None
    if importlib.util.find_spec("mlflow") is None:
        log.info("not recorded in MLflow, which is not installed: %s brings it", INSTALL)
        return None
    state = run.read_state() if run.state_path.exists() else {}
    key = state.get("mlflow_key")
    if not isinstance(key, str):
        key = uuid.uuid4().hex
        run.update_state(mlflow_key=key)
    tags = {f"version {name}": str(version) for name, version in state.get("versions", {}).items()}
    tracker = MlflowTracker.start(run, unstructure(config), experiment=track.experiment, key=key, tags=tags)
    if first_epoch > 0:  # a training that was killed, or whose store failed, left epochs unwritten
        tracker.refill(run.fitlog, first_epoch)
    return tracker
