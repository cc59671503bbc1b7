"""How hyperparameters moved: one panel for each, one line for each member."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lfads_plugins_std.figures.figure import dress, new_figure
from lfads_plugins_std.figures.ticks import few_ticks, whole_ticks
from lfads_plugins_tune.figures.paint import BEST, Palette
from lfads_plugins_tune.figures.story import Story, record_of
from lfads_plugins_tune.search.history import MemberRecord
from lfads_plugins_tune.search.labels import is_logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12


def draw_hyperparameters(story: Story) -> Figure:
    """Draw each hyperparameter over epochs, generation by generation.

    Lines are members, coloured by their last score; where a member took another's weights, its line comes from that other's, so that
    lines branch as weights did. The way to the best member is bold. Words, such as names of components, stand at the axis.
    """
    names = story.names
    paths = list(names)[:MOST_PANELS]
    columns = min(3, max(1, len(paths)))
    rows = max(1, math.ceil(len(paths) / columns))
    figure = new_figure(3.3 * columns + 0.8, 2.1 * rows + 0.6, f"{story.name}: hyperparameters")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    palette = Palette(story)
    for i, (ax, path) in enumerate(zip(axes, paths, strict=False)):
        _draw_panel(ax, story, path, palette)
        dress(ax, names[path], "epoch" if i + columns >= len(paths) else "", "")
        ax.tick_params(labelbottom=i + columns >= len(paths))
    for ax in axes[len(paths) :]:
        ax.set_axis_off()
    palette.explain(figure, list(axes), story)
    if len(names) > len(paths):
        figure.supxlabel(f"{len(names) - len(paths)} more hyperparameters stand in search.json", fontsize=7)
    return figure


def _draw_panel(ax: Axes, story: Story, path: str, palette: Palette) -> None:
    values = [value for generation in story.generations for record in generation.members if (value := record.hyperparameters.get(path)) is not None]
    words = sorted({str(value) for value in values if not _is_number(value)})
    heights = {(g.generation, r.member): _height(r, path, words) for g in story.generations for r in g.members}
    best = {} if story.best is None else story.way_to(story.best)
    for member in reversed(story.ranked()):  # the best on top
        ax.plot(*_branches(story, heights, {generation.generation: member for generation in story.generations}), color=palette[member], lw=0.9)
    ax.plot(*_branches(story, heights, best), color=BEST, lw=2.4, solid_joinstyle="miter")
    if words:
        ax.set_yticks(range(len(words)), words, parse_math=False)
        ax.set_ylim(-0.5, len(words) - 0.5)
    elif is_logarithmic(float(value) for value in values):
        ax.set_yscale("log")
    else:
        few_ticks(ax.yaxis)
    whole_ticks(ax.xaxis)


def _height(record: MemberRecord, path: str, words: list[str]) -> float:
    value = record.hyperparameters.get(path)
    if value is None:
        return math.nan
    return float(value) if _is_number(value) else float(words.index(str(value)))


def _branches(story: Story, heights: Mapping[tuple[int, int], float], members: Mapping[int, int]) -> tuple[list[float], list[float]]:
    """A line of one level for each generation, each joined to the level of where its weights come from."""
    x: list[float] = []
    y: list[float] = []
    before: int | None = None  # the generation before
    for generation in story.generations:
        record = record_of(generation, members.get(generation.generation))
        if record is not None:
            here = heights[generation.generation, record.member]
            origin = math.nan if before is None or record.parent is None else heights.get((before, record.parent), math.nan)
            start = float(generation.first_epoch)
            x += [start, start, start, float(generation.epochs)]
            y += [math.nan, origin, here, here]
        before = generation.generation
    return x, y


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)
