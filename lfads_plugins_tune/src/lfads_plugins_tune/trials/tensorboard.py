"""TensorBoard as a tracker of runs and of a search's members: event files in the run's folder, on request."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lfads_core.config.schema import RunConfig
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.settings import track_of

log = logging.getLogger(__name__)

INSTALL = 'pip install "lfads-plugins-tune[tensorboard]"'
FOLDER = "tensorboard"


class TensorBoardTracker:
    """Fulfils :class:`~lfads_core.track.tracker.Tracker`. TensorBoard drops what an interrupted training had written from ``first_epoch`` on."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        from tensorboardX import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=first_epoch)

    def log(self, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers; those that are not finite are left out."""
        for name, value in row.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, epoch)

    def final(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Show the scores of the final outputs beside those of the last epoch, as ``final/<split>/<metric>``."""
        self.log(epoch, {f"final/{name}": value for name, value in scores.items()})

    def artifacts(self, paths: Iterable[Path]) -> None:
        """Nothing: it shows curves."""

    def close(self, status: str) -> None:
        """Write what is buffered."""
        self._writer.close()


def open_tracker(run: Run, config: RunConfig, first_epoch: int) -> TensorBoardTracker | None:
    """Write event files, if the settings want them; for ``lfads_trackers``."""
    if not track_of(config).tensorboard:
        return None
    if importlib.util.find_spec("tensorboardX") is None:
        log.warning("track.tensorboard: tensorboardX must be installed, got none. Run: %s", INSTALL)
        return None
    return TensorBoardTracker(run.path / FOLDER, first_epoch)
