"""What lfads-plugins-tune brings to the Python front door: searches, their tables and figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lfads_core.errors import RunError
from lfads_core.front.logs import logs_said
from lfads_core.plugins.registry import Registry
from lfads_plugins_std.figures.files import inline
from lfads_plugins_tune.figures import draw_hyperparameters, draw_lineage, draw_scores, draw_search_curves, read_story
from lfads_plugins_tune.search.parse import parse_spaces
from lfads_plugins_tune.search.placing import placing_of
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.report import headline as headline_of
from lfads_plugins_tune.search.report import last_scores, lines_of
from lfads_plugins_tune.search.run import planned_search, resume_search, start_search
from lfads_plugins_tune.search.state import read_state

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def search(
    kind: str,
    data: Sequence[str | Path],
    folder: Path,
    registry: Registry,
    *,
    settings: tuple[Sequence[Path], Sequence[str], Sequence[str], Mapping[str, str | None]],
    placing: Mapping[str, Any],
    progress: bool,
) -> None:
    """Carry out a search in a folder; ``settings`` are files, plugins, overrides and spaces.

    Raises:
        ConfigError, DataError, PluginError: settings, spaces or data do not do.
        RunError: the folder is taken, or no member is left.
    """
    display = SearchDisplay(None if progress else io.StringIO())
    files, plugins, overrides, spaces = settings
    found = parse_spaces(tuple(f"{path}={'null' if where is None else where}" for path, where in spaces.items()))
    how = placing_of(placing, registry)
    with logs_said(display.message):
        first = planned_search(kind, data, (files, plugins, overrides, found), registry, how)
        done = start_search(folder, first, registry, display, how)
        if done.best is None:
            display.message(f"interrupted; everything is saved in {folder}. Go on with search.resume()")


def resume(folder: Path, registry: Registry, *, progress: bool) -> None:
    """Go on with a search."""
    display = SearchDisplay(None if progress else io.StringIO())
    with logs_said(display.message):
        resume_search(folder, registry, display)


def table(folder: Path) -> pd.DataFrame:
    """A row for each member, the best first."""
    state = read_state(folder)
    members, scores = {member.member: member for member in state.members}, last_scores(state)
    sign = -1.0 if state.score.startswith("-") else 1.0
    rows = []
    for line in lines_of(state):
        member, score = members[line.member], scores.get(line.member)
        known = {"member": line.member, "status": line.status, "epochs": member.epochs}
        values = {path: member.values[path] for path in state.spaces}
        rows.append({**known, state.score.removeprefix("-"): None if score is None else sign * score, "from": line.origin, **values})
    return pd.DataFrame(rows).set_index("member")


def headline(folder: Path) -> str:
    """How a search stands, in one line."""
    return headline_of(read_state(folder))


def figure(folder: Path, kind: str) -> Figure:
    """One figure of a search.

    Raises:
        RunError: none of its generations is over, or it has but one and nothing moved.
    """
    story = read_story(folder)
    if kind in ("hyperparameters", "lineage") and len(story.generations) < 2:
        raise RunError(f"{folder}: must have more than one generation for a figure of {kind}, got one. Nothing moved: plot.scores() shows the rest.")
    draw = {"curves": draw_search_curves, "scores": draw_scores, "hyperparameters": draw_hyperparameters, "lineage": draw_lineage}[kind]
    return inline(draw(story))
