"""One member of a search: an ordinary run folder, its training, and what it is judged by."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import attrs

from lfads_core.config.schema import RunConfig
from lfads_core.errors import RunError
from lfads_core.track.fitlog import FitLog, read_fitlog
from lfads_core.train.loop import MemberEnd
from lfads_core.train.trainer import Trainer
from lfads_plugins_tune.search.executor import Outcome

log = logging.getLogger(__name__)


class TrainingMember:
    """A training with its log; ``column`` names what it is judged by, and ``sign`` -1 says that more of it is better."""

    def __init__(self, number: int, trainer: Trainer, *, since: int, column: str, sign: float) -> None:
        self.number, self.trainer, self.column, self.sign = number, trainer, column, sign
        self.fitlog = FitLog(trainer.run.fitlog)
        self.fitlog.truncate(trainer.progress.epoch)
        self.latest = self._logged(since)
        self.seconds = trainer.progress.seconds

    def goes_on_as(self, config: RunConfig) -> bool:
        """Whether these settings are those it has been trained under, but for the number of epochs."""
        mine = self.trainer.config
        return attrs.evolve(config, train=attrs.evolve(config.train, epochs=mine.train.epochs)) == mine

    def take(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log one epoch's numbers."""
        self.latest = row.get(self.column, self.latest)
        try:
            self.fitlog.append(epoch, row)
        except (OSError, RunError) as err:
            log.warning("%s: could not be written (%s); the training goes on.", self.fitlog.path, err)

    def outcome(self, end: MemberEnd) -> Outcome:
        """What a generation came to."""
        progress = self.trainer.progress
        seconds, self.seconds = progress.seconds - self.seconds, progress.seconds
        status, score, error = end.status, None, end.error
        if status == "done":
            score = None if self.latest is None else self.sign * self.latest
            if score is None:
                status = "failed"
                error = f"{self.fitlog.path}: must have the column {self.column!r}, which members are judged by, but no epoch gave it."
            elif not math.isfinite(score):
                status, score = "diverged", None
                error = f"epoch {progress.epoch - 1}: {self.column!r} must be finite, got {self.latest}."
        return Outcome(member=self.number, status=status, score=score, epochs=progress.epoch, seconds=seconds, error=error)

    def _logged(self, since: int) -> float | None:
        """The latest value in the log, of epochs from ``since`` on: those before were of other weights."""
        if not self.fitlog.path.exists():
            return None
        table = read_fitlog(self.fitlog.path)
        rows = zip(table["epoch"], table.get(self.column, []), strict=False)
        there = [value for epoch, value in rows if epoch >= since and not math.isnan(value)]
        return there[-1] if there else None
