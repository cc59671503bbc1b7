"""Training and validation of all members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lfads_plugins_std.figures.colours import INK, SOFT
from lfads_plugins_std.figures.figure import dress, legend, new_figure
from lfads_plugins_std.figures.ticks import whole_ticks
from lfads_plugins_std.metrics.titles import score_title, sentence, unit_of_column
from lfads_plugins_tune.figures.paint import BEST, Palette
from lfads_plugins_tune.figures.story import MetricCurve, Story, record_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING = "train/recon"
_SHOWN_SHARE = 0.97  # of the values after the first tenth: what diverges leaves the panel


def draw_search_curves(story: Story) -> Figure:
    """Draw what members are judged by over epochs, the reconstruction cost on training trials, and how the population stands by generation.

    Lines are members, coloured by their last score. A line breaks where a member took another's weights. The bold line is the way of
    the best member's weights, through all members that carried them.
    """
    columns = [column for column in dict.fromkeys((story.column, TRAINING)) if story.curves(column)]
    several = len(story.generations) > 1 or not columns
    panels = len(columns) + several
    figure = new_figure(3.9 * panels + 0.8, 3.7, f"{story.name}: training of all members")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    palette = Palette(story)
    for ax, column in zip(axes, columns, strict=False):
        _draw_members(ax, story, column, palette)
        dress(ax, sentence(score_title(column)), "epoch", _unit(column))
        whole_ticks(ax.xaxis)
    if several:
        _draw_population(axes[-1], story)
    palette.explain(figure, list(axes), story)
    return figure


def _unit(column: str) -> str:
    return unit_of_column(column.partition("/")[2] or column)


def _draw_members(ax: Axes, story: Story, column: str, palette: Palette) -> None:
    curves = {curve.member: curve for curve in story.curves(column)}
    for generation in story.generations[1:]:
        ax.axvline(generation.first_epoch, color="#ededed", lw=0.6, zorder=0)
    for member in reversed(story.ranked()):
        epochs, values = _broken(story, curves[member])
        ax.plot(epochs, values, color=palette[member], lw=0.9, alpha=0.9)
    late = [curve.values[len(curve.values) // 10 :] for curve in curves.values()]
    _limit(ax, np.concatenate(late) if late else np.zeros(0), story.sign)
    if story.best is not None:
        epochs, values = _way(story, curves, story.best)
        ax.plot(epochs, values, color=BEST, lw=2.2, label=f"way to the best, m{story.best:02d}")
        legend(ax, loc="best")


def _broken(story: Story, curve: MetricCurve) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The curve with a gap before each generation that began from another's weights; epochs that were not measured are joined."""
    known = np.isfinite(curve.values)
    epochs, values = curve.epochs[known] + 1.0, curve.values[known]  # an epoch's numbers are there at its end
    cuts = []
    for generation in story.generations:
        record = record_of(generation, curve.member)
        if record is not None and record.parent != curve.member:
            cuts.append(int(np.searchsorted(epochs, generation.first_epoch + 0.5)))
    return np.insert(epochs, cuts, np.nan), np.insert(values, cuts, np.nan)


def _way(story: Story, curves: Mapping[int, MetricCurve], member: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The curve of a member's weights, put together from those who carried them."""
    way, epochs, values = story.way_to(member), [], []
    for generation in story.generations:
        if generation.generation in way:
            curve = curves[way[generation.generation]]
            here = (curve.epochs >= generation.first_epoch) & (curve.epochs < generation.epochs) & np.isfinite(curve.values)
            epochs.append(curve.epochs[here] + 1.0)
            values.append(curve.values[here])
    return np.concatenate(epochs), np.concatenate(values)


def _limit(ax: Axes, values: Float[np.ndarray, " n"], sign: float) -> None:
    """Let the axis fit the better part of what follows the first tenth."""
    values = values[np.isfinite(values)]
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if sign > 0:
        high = float(np.quantile(values, _SHOWN_SHARE))
    else:
        low = float(np.quantile(values, 1 - _SHOWN_SHARE))
    margin = 0.05 * (high - low)
    if margin > 0:
        ax.set_ylim(low - margin, high + margin)


def _draw_population(ax: Axes, story: Story) -> None:
    """Best, median and spread of the scores at the end of each generation."""
    generations, best, middle, low, high = [], [], [], [], []
    for generation in story.generations:
        scores = [score for record in generation.members if (score := story.shown(record)) is not None]
        if scores:
            generations.append(generation.epochs)
            best.append(min(scores) if story.sign > 0 else max(scores))
            middle.append(float(np.median(scores)))
            low.append(float(np.quantile(scores, 0.25)))
            high.append(float(np.quantile(scores, 0.75)))
    ax.fill_between(generations, low, high, color=SOFT, alpha=0.25, lw=0, label="half of the members")
    ax.plot(generations, middle, color=INK, lw=1.2, marker=".", ms=4, label="median")
    ax.plot(generations, best, color=BEST, lw=2.2, marker=".", ms=7, label="best")
    dress(ax, f"{sentence(score_title(story.column))}, by generation", "epoch", _unit(story.column))
    whole_ticks(ax.xaxis)
    legend(ax, loc="best")
