"""Latents in their first three principal components: the path of the factors, and where trials begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Real

from lfads_plugins_std.figures.colours import INK, SOFT, shades
from lfads_plugins_std.figures.conditions import Groups, event_key
from lfads_plugins_std.figures.figure import Key, dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.units import ARBITRARY, TimeAxis, spread_out, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TRIALS = 80

_TRIAL = {"lw": 0.6, "alpha": 0.5}
_AVERAGE = {"lw": 1.8}


def principal_components(factors: Real[np.ndarray, "B T F"], count: int = 3) -> tuple[Float[np.ndarray, "B T count"], Float[np.ndarray, " count"]]:
    """Project factors on their leading principal components over all trials and bins; second, each one's share of the variance.

    Components beyond the number of factors are zero. The sign of a component is such that its largest loading is positive.
    """
    flat = np.asarray(factors, dtype=np.float64).reshape(-1, factors.shape[-1])
    centred = flat - flat.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    have = min(count, len(axes))
    scores = np.zeros((len(flat), count))
    scores[:, :have] = centred @ axes[:have].T
    shares = np.zeros(count)
    power = (lengths**2).sum()
    shares[:have] = lengths[:have] ** 2 / power if power > 0 else 0.0
    return scores.reshape(*factors.shape[:2], count), shares


def draw_factors(factors: Real[np.ndarray, "B T F"], groups: Groups | None = None, *, time: TimeAxis | None = None) -> Figure:
    """Draw trials in three components, in space and over time; a dot marks the start.

    With groups: a colour each, thin lines for trials, thick ones for the average. Without: up to eighty trials, coloured by where their
    first component starts. ``time`` says when the bins are, if not by their number.
    """
    scores, shares = principal_components(factors)
    time = time or time_axis(factors.shape[1], None)
    figure = new_figure(8.6, 4.4)
    space, panels = _axes(figure)
    lines: Key = {}
    if groups is None:
        trials = spread_out(len(scores), MOST_TRIALS)
        for trial, colour in zip(trials, shades(scores[trials, 0, 0]), strict=True):
            _draw_path(space, panels, time.middles, scores[trial], color=colour, **_TRIAL)
            _mark_start(space, scores[trial], colour)
    else:
        for rows, colour in zip(groups.rows, groups.colours, strict=True):
            if len(rows):
                for trial in rows[spread_out(len(rows), max(1, MOST_TRIALS // len(groups.labels)))]:
                    _draw_path(space, panels, time.middles, scores[trial], color=colour, **_TRIAL)
                average = scores[rows].mean(axis=0)
                _draw_path(space, panels, time.middles, average, color=colour, **_AVERAGE)
                _mark_start(space, average, colour)
        lines = {"single trials": {"color": INK, **_TRIAL}, "average of a condition": {"color": INK, **_AVERAGE}, **groups.key}
    key_of(figure, {**event_key(time), **lines})
    for k, ax in enumerate(panels):
        dress(ax, f"component {k + 1}: {shares[k]:.0%} of the variance", time.label if k == 2 else "", ARBITRARY if k == 1 else "")
        mark_event(ax, time.event)
        if k < 2:
            ax.tick_params(labelbottom=False)
    return figure


def draw_initial_conditions(means: Real[np.ndarray, "B I"], groups: Groups) -> Figure:
    """Draw the posterior means in three principal components, a dot for each trial in the colour of its group."""
    scores, shares = principal_components(means[:, None])
    figure = new_figure(8.0, 3.6)
    for ax, other in zip(figure.subplots(1, 2), (1, 2), strict=True):
        for rows, colour in zip(groups.rows, groups.colours, strict=True):
            ax.scatter(scores[rows, 0, 0], scores[rows, 0, other], color=[colour], s=12, alpha=0.8, lw=0)
        title = f"Initial conditions, components 1 and {other + 1}"
        dress(ax, title, f"component 1 ({shares[0]:.0%} of the variance)", f"component {other + 1} ({shares[other]:.0%})")
    key_of(figure, groups.key)
    return figure


def _draw_path(space: Any, panels: list[Axes], time: np.ndarray, path: Float[np.ndarray, "T K"], **line: Any) -> None:
    space.plot(*path.T, **line)
    for k, ax in enumerate(panels):
        ax.plot(time, path[:, k], **line)


def _mark_start(space: Any, path: Float[np.ndarray, "T K"], colour: Any) -> None:
    space.scatter(*path[0][:, None], color=[colour], s=10, depthshade=False)


def _axes(figure: Figure) -> tuple[Any, list[Axes]]:
    """Make the axes in space, and one below the other for the components over time."""
    grid = figure.add_gridspec(3, 2, width_ratios=(1.25, 1))
    space = figure.add_subplot(grid[:, 0], projection="3d")
    space.set_box_aspect((1, 1, 1), zoom=1.08)
    for axis, name in ((space.xaxis, "component 1"), (space.yaxis, "component 2"), (space.zaxis, "component 3")):
        axis.set_pane_color((1, 1, 1, 0))
        axis.set_ticks([])
        axis.set_label_text(name, fontsize=7.5, color=INK)
        axis.labelpad = -12
        axis.line.set_color(SOFT)
    space.grid(visible=False)
    return space, [figure.add_subplot(grid[k, 1]) for k in range(3)]
