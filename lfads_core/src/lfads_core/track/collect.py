"""All trackers of a run as one, which never costs the training."""

from __future__ import annotations

import importlib.util
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_core.track.store import INSTALL
from lfads_core.track.tracker import Tracker

log = logging.getLogger(__name__)


class Trackers:
    """Fulfils :class:`Tracker` for all at once; one that fails is named once, and is called again at the next epoch all the same."""

    def __init__(self, fitlog: FitLog, others: Mapping[str, Tracker]) -> None:
        self.fitlog = fitlog
        self.others = dict(others)
        self._named: set[str] = set()

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers."""
        self._guard("fitlog.csv", lambda: self.fitlog.append(epoch, row))
        self._each(lambda tracker: tracker.log(epoch, row))

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Take files and folders; those that are not there are passed over."""
        there = [path for path in paths if path.exists()]
        self._each(lambda tracker: tracker.artifacts(there))

    def close(self, status: str) -> None:
        """Write what is buffered; ``status`` is ``finished``, ``interrupted`` or ``failed``."""
        self._each(lambda tracker: tracker.close(status))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in self.others.items():
            self._guard(name, lambda tracker=tracker: call(tracker))  # type: ignore[misc]

    def _guard(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as err:  # noqa: BLE001 - tracking never stops a training
            if name not in self._named:
                log.warning("%s: could not be written (%s); the training goes on.", name, err)
            self._named.add(name)


def open_trackers(run: Run, config: RunConfig, *, first_epoch: int) -> Trackers:
    """The CSV log, cut back to the epochs before ``first_epoch``, and MLflow if the settings want it and it is installed.

    Never raises. A run that goes on with ``first_epoch`` > 0 goes on with its MLflow run, which ``run.json`` knows.
    """
    trackers = Trackers(FitLog(run.fitlog), {})
    trackers._guard("fitlog.csv", lambda: trackers.fitlog.truncate(first_epoch))  # noqa: SLF001 - its own factory
    if config.track.mlflow:
        if importlib.util.find_spec("mlflow") is None:
            log.info("not recorded in MLflow, which is not installed: %s brings it", INSTALL)
        else:
            trackers._guard("MLflow", lambda: _add_mlflow(trackers, run, config, first_epoch))  # noqa: SLF001
    return trackers


def _add_mlflow(trackers: Trackers, run: Run, config: RunConfig, first_epoch: int) -> None:
    from lfads_core.track.mlflow import MlflowTracker

    state = run.read_state() if run.state_path.exists() else {}
    key = state.get("mlflow_key")
    if not isinstance(key, str):
        key = uuid.uuid4().hex
        run.update_state(mlflow_key=key)
    tags = {f"version {name}": str(version) for name, version in state.get("versions", {}).items()}
    tracker = MlflowTracker.start(run, unstructure(config), experiment=config.track.experiment, key=key, tags=tags)
    trackers.others["MLflow"] = tracker
    if first_epoch > 0:  # a training that was killed, or whose store failed, left epochs unwritten
        tracker.refill(run.fitlog, first_epoch)
