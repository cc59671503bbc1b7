"""All trackers of a run as one, which never costs the training."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_core.track.tracker import Tracker

log = logging.getLogger(__name__)


class Trackers:
    """Fans out to every tracker; one that fails is named once and then left alone."""

    def __init__(self, fitlog: FitLog, others: Mapping[str, Tracker]) -> None:
        self.fitlog = fitlog
        self.others = dict(others)

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers."""
        self._guard("fitlog.csv", lambda: self.fitlog.append(epoch, row))
        self._each(lambda tracker: tracker.log(epoch, row))

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Take files and folders that exist."""
        there = [path for path in paths if path.exists()]
        self._each(lambda tracker: tracker.artifacts(there))

    def close(self, status: str) -> None:
        """Write what is buffered."""
        self._each(lambda tracker: tracker.close(status))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.others.items()):
            if not self._guard(name, lambda tracker=tracker: call(tracker)):  # type: ignore[misc]
                del self.others[name]

    @staticmethod
    def _guard(name: str, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as err:  # noqa: BLE001 - tracking never stops a training
            log.warning("%s: tracking failed and the training goes on without it (%s)", name, err)
            return False
        return True


def open_trackers(run: Run, config: RunConfig, *, first_epoch: int) -> Trackers:
    """The CSV log, cut back to ``first_epoch``, and MLflow if the settings want it and it is installed."""
    fitlog = FitLog(run.fitlog)
    fitlog.truncate(first_epoch)
    if not config.track.mlflow:
        return Trackers(fitlog, {})
    if importlib.util.find_spec("mlflow") is None:
        log.info('not logged to MLflow, which is not installed; it comes with: pip install "lfads-core[track]"')
        return Trackers(fitlog, {})
    from lfads_core.track.mlflow import MlflowTracker

    return Trackers(fitlog, {"MLflow": MlflowTracker.start(run, config)})
