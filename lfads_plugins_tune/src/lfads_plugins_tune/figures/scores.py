"""Which hyperparameters go with good scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lfads_plugins_std.figures.colours import INK, SOFT
from lfads_plugins_std.figures.figure import dress, new_figure
from lfads_plugins_std.figures.ticks import few_ticks
from lfads_plugins_std.metrics.titles import score_title, sentence
from lfads_plugins_tune.figures.paint import BEST, LOST
from lfads_plugins_tune.figures.story import Story
from lfads_plugins_tune.search.labels import is_logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12


def draw_scores(story: Story) -> Figure:
    """Draw scores at the end against each hyperparameter, one dot for each member, the best marked.

    What a member was given in its last generation counts. Those that diverged or failed then stand as crosses at the upper edge.
    """
    names = story.names
    paths = list(names)[:MOST_PANELS]
    columns = min(3, max(1, len(paths)))
    rows = max(1, math.ceil(len(paths) / columns))
    figure = new_figure(3.1 * columns + 0.4, 2.3 * rows + 0.6, f"{story.name}: scores at the end")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for i, (ax, path) in enumerate(zip(axes.ravel(), paths, strict=False)):
        _draw_panel(ax, story, path)
        dress(ax, "", names[path], sentence(score_title(story.column)) if i % columns == 0 else "")
        ax.xaxis.label.set_fontsize(8.5)
    for ax in axes.ravel()[len(paths) :]:
        ax.set_axis_off()
    if len(names) > len(paths):
        figure.supxlabel(f"{len(names) - len(paths)} more hyperparameters stand in search.json", fontsize=7)
    return figure


def _draw_panel(ax: Axes, story: Story, path: str) -> None:
    last = {record.member: record for generation in story.generations for record in generation.members}
    known = [record for record in last.values() if path in record.hyperparameters]
    values = [record.hyperparameters[path] for record in known]
    words = sorted({str(value) for value in values if not isinstance(value, int | float)})
    x = np.asarray([words.index(str(value)) if words else float(value) for value in values], dtype=float)
    scores = [story.shown(record) for record in known]
    y = np.asarray([np.nan if score is None else score for score in scores], dtype=float)
    scored = np.isfinite(y)
    if words:
        x = x + np.linspace(-0.15, 0.15, len(x))  # so that dots of one word are told apart
        ax.set_xticks(range(len(words)), words, parse_math=False)
        ax.set_xlim(-0.5, len(words) - 0.5)
    elif is_logarithmic(x.tolist()):
        ax.set_xscale("log")
    else:
        few_ticks(ax.xaxis)
    ax.scatter(x[scored], y[scored], s=22, color=INK, alpha=0.75, lw=0)
    if (~scored).any():
        ax.scatter(x[~scored], np.full((~scored).sum(), 0.97), s=22, color=SOFT, marker="x", lw=1.0, transform=ax.get_xaxis_transform())
    best = [i for i, record in enumerate(known) if record.member == story.best]
    if best:
        ax.axhline(y[best[0]], color=LOST, lw=0.6, zorder=0)
        ax.scatter(x[best], y[best], s=70, color=BEST, marker="*", lw=0, zorder=5)
