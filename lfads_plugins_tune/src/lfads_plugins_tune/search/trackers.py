"""What listens to a search besides its own table: MLflow, and the figures that are drawn when it stops."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.errors import LfadsError
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.searches import SearchTrackers, TrackedMember, open_search_trackers
from lfads_plugins_tune.search.announce import Announcer
from lfads_plugins_tune.search.driver import overrides_of
from lfads_plugins_tune.search.history import JOURNAL
from lfads_plugins_tune.search.paths import member_config
from lfads_plugins_tune.search.starts import member_folder
from lfads_plugins_tune.search.state import Best, Member, SearchState

log = logging.getLogger(__name__)


class Tracking:
    """The trackers of a search, and how it has ended so far."""

    def __init__(self, trackers: SearchTrackers, announcer: Announcer) -> None:
        self.trackers, self.announcer = trackers, announcer
        self.status = "failed"
        self.best: Run | None = None

    def finished(self, best: Best | None, run: Run | None) -> None:
        """Mark the best member and hand over its files: the search has come to its end."""
        self.status, self.best = "finished", run
        if best is None or run is None:
            return
        self.trackers.best(best.member, best.scores)
        outputs = run.outputs
        self.trackers.artifacts([run.config_path, run.fitlog, run.plots, run.checkpoints, *outputs], member=best.member)


@contextmanager
def tracked(folder: Path, base: RunConfig, state: SearchState, registry: Registry) -> Iterator[Tracking]:
    """Record a search in MLflow while the block runs, or go on with it and fill in what the store lacks; its files and status come at the end."""
    tracking = Tracking(_open(folder, base, state, registry), Announcer(folder, state, registry))
    try:
        yield tracking
    except KeyboardInterrupt:
        tracking.status = "interrupted"
        raise
    finally:
        tracking.trackers.artifacts([folder / name for name in ("config.yaml", JOURNAL, "fitlog.csv", "plots")])
        tracking.trackers.close(tracking.status)
        tracking.announcer.close(tracking.status, tracking.best)


def draw_figures(folder: Path) -> list[Path]:
    """Draw the search; what goes wrong there is one warning."""
    from lfads_plugins_tune.figures import draw_search

    try:
        return draw_search(folder)
    except LfadsError as err:
        log.warning("%s", err)
    except Exception as err:  # noqa: BLE001 - figures never cost a search anything
        log.warning("%s: the figures could not be drawn (%s: %s).", folder, type(err).__name__, err)
    return []


def _open(folder: Path, base: RunConfig, state: SearchState, registry: Registry) -> SearchTrackers:
    first = {record.member: record.hyperparameters for generation in reversed(state.history) for record in generation.members}
    members = [_tracked(folder, base, state, (member, first.get(member.member, member.values)), registry) for member in state.members]
    tags = {f"version {name}": str(version) for name, version in state.versions.items()}
    settings = {**unstructure(base)["search"], "kind": state.kind, "score": state.score, "executor": state.executor}
    trackers = open_search_trackers(folder, base, members, kind=state.kind, score=state.score, settings=settings, tags=tags)
    for generation in state.history:
        trackers.generation(generation)
    return trackers


def _tracked(folder: Path, base: RunConfig, state: SearchState, who: tuple[Member, Mapping[str, Any]], registry: Registry) -> TrackedMember:
    """A member as it was at its start; ``who`` is the member and its first hyperparameters."""
    member, values = who
    begun = state.targets[state.generation - 1] if state.generation > 0 else 0
    overrides = {**overrides_of(member, base), **values}
    return TrackedMember(
        member=member.member,
        path=member_folder(folder, member.member),
        settings=unstructure(member_config(base, overrides, registry)),
        hyperparameters=values,
        epochs=begun if member.status == "waiting" else member.epochs,
    )
