"""Inferred inputs: what pushed the generator, on average and in single trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Real

from lfads_plugins_std.figures.colours import BLUE, COLOURS, SOFT
from lfads_plugins_std.figures.conditions import Groups, event_key
from lfads_plugins_std.figures.figure import dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.units import ARBITRARY, TimeAxis, spread_out, time_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_INPUTS = 6
MOST_SINGLE = 3


def draw_inputs(
    means: Real[np.ndarray, "B T U"],
    stds: Real[np.ndarray, "B T U"] | None = None,
    *,
    groups: Groups | None = None,
    time: TimeAxis | None = None,
) -> Figure:
    """Draw each inferred input, in the generator's own unit, over time.

    Left: mean and standard deviation over trials, or the mean of each group of trials if these are given.
    Right: posterior mean of a few single trials, with its standard deviation if given.
    At most six inputs, those that vary most, in their own order. ``time`` says when the bins are, if not by their number.
    """
    power = np.asarray(means, dtype=float).var(axis=(0, 1))
    inputs = np.sort(np.argsort(-power, kind="stable")[:MOST_INPUTS])
    time = time or time_axis(means.shape[1], None)
    middles = time.middles
    figure = new_figure(8.0, 1.5 * max(1, len(inputs)) + 0.7)
    axes = figure.subplots(max(1, len(inputs)), 2, squeeze=False, sharex=True, sharey="row")
    for row, u in enumerate(inputs):
        average, all_trials = axes[row]
        if groups is None:
            mean, sd = means[:, :, u].mean(axis=0), means[:, :, u].std(axis=0)
            average.fill_between(middles, mean - sd, mean + sd, color=BLUE, alpha=0.2, lw=0)
            average.plot(middles, mean, color=BLUE, lw=1.5)
        else:
            for rows, colour in zip(groups.rows, groups.colours, strict=True):
                if len(rows):
                    average.plot(middles, means[rows, :, u].mean(axis=0), color=colour, lw=1.5)
        for i, trial in enumerate(spread_out(len(means), MOST_SINGLE)):
            path = means[trial, :, u]
            if stds is not None:
                all_trials.fill_between(middles, path - stds[trial, :, u], path + stds[trial, :, u], color=COLOURS[i], alpha=0.15, lw=0)
            all_trials.plot(middles, path, color=COLOURS[i], lw=1.1)
        last = row == len(inputs) - 1
        for ax in (average, all_trials):
            ax.axhline(0, color=SOFT, lw=0.6, zorder=0)
            mark_event(ax, time.event)
            dress(ax, "", time.label if last else "", f"input {u}\n({ARBITRARY})" if ax is average else "")
    if len(inputs):
        left = "mean ± sd over trials" if groups is None else "mean of each condition"
        dress(axes[0, 0], left, axes[0, 0].get_xlabel(), axes[0, 0].get_ylabel())
        dress(axes[0, 1], "single trials" + (" ± posterior sd" if stds is not None else ""), axes[0, 1].get_xlabel())
    trials = spread_out(len(means), MOST_SINGLE if len(inputs) else 0)
    singles = {f"trial {trial}": {"color": COLOURS[i], "lw": 1.1} for i, trial in enumerate(trials)}
    key_of(figure, {**event_key(time), **singles, **({} if groups is None else groups.key)})
    return figure


def draw_around(sizes: Mapping[str, tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]], unit: str) -> Figure:
    """Draw the size of inputs around events: by each one's name, times from it and sizes there."""
    figure = new_figure(3.2 * len(sizes), 2.3)
    for ax, (name, (lags, size)) in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes.items(), strict=True):
        ax.plot(lags, size, color=BLUE, lw=1.8)
        mark_event(ax, 0.0)
        dress(ax, f"Size of inputs around {name}", f"time from {name} ({unit})", f"mean |input| ({ARBITRARY})")
    return figure
