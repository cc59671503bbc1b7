"""What listens to a search besides its own table: MLflow, and the figures that are drawn when it stops."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lfads_core.config.fields import FigureFormat
from lfads_core.config.schema import RunConfig
from lfads_core.errors import LfadsError
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.settings import track_of
from lfads_plugins_tune.mlflow.tracker import open_for
from lfads_plugins_tune.search.announce import Announcer
from lfads_plugins_tune.search.driver import Driver
from lfads_plugins_tune.search.state import SearchState
from lfads_plugins_tune.trials.tune import TuneTrials, open_trials

log = logging.getLogger(__name__)


class Tracking:
    """Whoever hears of a search, and how it has ended so far."""

    def __init__(self, announcer: Announcer) -> None:
        self.announcer = announcer
        self.trials: TuneTrials | None = None
        self.status = "failed"
        self.best: Run | None = None

    def hear(self, driver: Driver) -> None:
        """Have everybody listen to a driver.

        Raises:
            ConfigError: a callback of the settings is none.
        """
        self.trials = open_trials(driver.folder, track_of(driver.base), lambda: driver.state)
        driver.watchers += [self.announcer, *([] if self.trials is None else [self.trials])]

    def finished(self, run: Run | None) -> None:
        """The search has come to its end, and ``run`` is that of the best model."""
        self.status, self.best = "finished", run


@contextmanager
def tracked(folder: Path, base: RunConfig, state: SearchState, registry: Registry) -> Iterator[Tracking]:
    """Have MLflow follow the search while the block runs; what the store lacks of it is filled in."""
    mlflow, tracking = open_for(folder, track_of(base), "search"), Tracking(Announcer(folder, state, registry))
    try:
        yield tracking
    except KeyboardInterrupt:
        tracking.status = "interrupted"
        raise
    finally:
        if tracking.trials is not None:
            tracking.trials.close(tracking.status)
        if mlflow is not None:
            mlflow.close(tracking.status)
        tracking.announcer.close(tracking.status, tracking.best)


def draw_figures(folder: Path, form: FigureFormat) -> list[Path]:
    """Draw the search; what goes wrong there is one warning."""
    from lfads_plugins_tune.figures import draw_search

    try:
        return draw_search(folder, form)
    except LfadsError as err:
        log.warning("%s", err)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - figures never cost a search anything
        log.warning("%s: the figures could not be drawn (%s: %s).", folder, type(err).__name__, err)
    return []
