"""Conditions of trials as figures show them, a colour and a name each, and averages over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from lfads_plugins_std.figures.figure import colours_of, dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.units import TimeAxis, spread_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Trials that belong together."""

    index: Int[np.ndarray, " B"]  # the group of each trial; -1: not shown
    labels: Sequence[str]

    @property
    def rows(self) -> list[Int[np.ndarray, " _"]]:
        """Trials of each group."""
        return [np.flatnonzero(self.index == k) for k in range(len(self.labels))]

    @property
    def colours(self) -> list[Any]:
        """A colour for each group."""
        return colours_of(len(self.labels))


def all_together(trials: int, label: str = "") -> Groups:
    """One group of all trials."""
    return Groups(index=np.zeros(trials, dtype=np.int64), labels=[label])


def groups_by(values: Shaped[np.ndarray, " B"], most: int) -> tuple[Int[np.ndarray, " B"], Shaped[np.ndarray, " K"]]:
    """Each trial's group (-1: not shown), and the values that make a group: at most so many, evenly spread."""
    every = np.unique(values)
    kept = every[spread_out(len(every), most)]
    place = np.searchsorted(kept, values).clip(max=len(kept) - 1)
    return np.where(kept[place] == values, place, -1), kept


def groups_of_numbers(conditions: Real[np.ndarray, " B"], most: int) -> Groups:
    """Groups named by their numbers."""
    index, kept = groups_by(conditions, most)
    return Groups(index=index, labels=[f"{number:g}" for number in kept])


def draw_averages(
    data: Float[np.ndarray, "K T N"], model: Float[np.ndarray, "K T N"], groups: Groups, titles: Sequence[str], time: TimeAxis, unit: str
) -> Figure:
    """Draw a panel for each channel: the averages of the data (dashed) and of the rates (solid) of each group."""
    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = new_figure(3.2 * columns, 2.1 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for n, (ax, title) in enumerate(zip(axes, titles, strict=False)):
        for k, colour in enumerate(groups.colours):
            ax.plot(time.middles, data[k, :, n], color=colour, lw=0.8, ls=(0, (4, 3)), alpha=0.8)
            ax.plot(time.middles, model[k, :, n], color=colour, lw=1.5)
        mark_event(ax, time.event)
        dress(ax, title, time.label, unit if n % columns == 0 else "")
    for ax in axes[len(titles) :]:
        ax.set_axis_off()
    key_of(figure, groups.labels, groups.colours)
    return figure
