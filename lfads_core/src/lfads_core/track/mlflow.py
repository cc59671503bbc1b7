"""MLflow as a tracker of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lfads_core.runs import Run
from lfads_core.track.job import Job, Place
from lfads_core.track.names import flatten
from lfads_core.track.process import WriterProcess, place_for

CLOSE_SECONDS = 60.0
"""How long the end of a run waits for what is still to be written."""

LOCK_SECONDS = 15.0
"""How much of that is spent on a store that another program holds."""


class MlflowTracker:
    """Fulfils :class:`~lfads_core.track.tracker.Tracker`. Whatever goes wrong is one warning; nothing raises or blocks.

    The store is the sqlite file beside the run, or the one that ``MLFLOW_TRACKING_URI`` names.
    """

    def __init__(self, place: Place, key: str) -> None:
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
