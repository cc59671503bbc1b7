"""All trackers of a run as one, which never costs the training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import TrackerSpec
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog
from lfads_core.track.tracker import FinalTracker, Tracker

log = logging.getLogger(__name__)


class Trackers:
    """Fulfils :class:`Tracker` for all at once; one that fails is named once, and is called again at the next epoch all the same."""

    def __init__(self, fitlog: FitLog | None, others: Mapping[str, Tracker]) -> None:
        self.fitlog = fitlog
        self.others = dict(others)
        self._named: set[str] = set()

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers."""
        fitlog = self.fitlog
        if fitlog is not None:
            self._guard("fitlog.csv", lambda: fitlog.append(epoch, row))
        self._each(lambda tracker: tracker.log(epoch, dict(row)))  # a copy for each: what one changes reaches nobody else

    def final(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Take the scores of the final outputs, which are made otherwise than those of epochs; trackers that have no word for them hear nothing."""
        self._each(lambda tracker: tracker.final(epoch, dict(scores)) if isinstance(tracker, FinalTracker) else None)

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
        except (Exception, SystemExit) as err:  # noqa: BLE001 - tracking never stops a training
            if name not in self._named:
                log.warning("%s: could not be written (%s); the training goes on.", name, err)
            self._named.add(name)


def open_trackers(run: Run, config: RunConfig, registry: Registry, *, first_epoch: int) -> Trackers:
    """The CSV log, cut back to the epochs before ``first_epoch``, and every tracker of ``lfads_trackers`` that the settings want.

    Never raises: a tracker that cannot be opened is one warning. A run that goes on has a ``first_epoch`` > 0.
    """
    fitlog = FitLog(run.fitlog)
    trackers = Trackers(fitlog, {})
    trackers._guard("fitlog.csv", lambda: fitlog.truncate(first_epoch))  # noqa: SLF001 - its own factory
    _open(trackers, registry, (run, config, first_epoch), members=False)
    return trackers


def open_member_trackers(run: Run, config: RunConfig, registry: Registry, *, first_epoch: int) -> Trackers:
    """The trackers of one member of a search, whose ``fitlog.csv`` is written where it is trained. Never raises."""
    trackers = Trackers(None, {})
    _open(trackers, registry, (run, config, first_epoch), members=True)
    return trackers


def _open(trackers: Trackers, registry: Registry, what: tuple[Run, RunConfig, int], *, members: bool) -> None:
    for spec in registry.all(TrackerSpec):
        if spec.members or not members:
            name = f"{spec.name} of {registry.owner(TrackerSpec, spec.name)}"
            trackers._guard(name, lambda name=name, spec=spec: _add(trackers, name, spec.open(*what)))  # type: ignore[misc]  # noqa: SLF001


def _add(trackers: Trackers, name: str, tracker: Tracker | None) -> None:
    if tracker is not None:
        trackers.others[name] = tracker
