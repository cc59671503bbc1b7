"""Conditions of trials as figures show them, a colour and a name each, and averages over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Shaped

from lfads_plugins_std.figures.colours import INK, colours_of
from lfads_plugins_std.figures.figure import EVENT, Key, dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.ticks import few_ticks
from lfads_plugins_std.figures.units import TimeAxis, spread_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DATA = {"lw": 0.9, "ls": (0, (4, 3)), "alpha": 0.9}
_MODEL = {"lw": 1.5}


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
    def colours(self) -> list[str]:
        """A colour for each group."""
        return colours_of(len(self.labels))

    @property
    def key(self) -> Key:
        """What a legend says of them; nothing of a single one, which needs no name."""
        return {label: {"color": colour, "lw": 2} for label, colour in zip(self.labels, self.colours, strict=True)} if len(self.labels) > 1 else {}


def all_together(trials: int, label: str = "") -> Groups:
    """One group of all trials."""
    return Groups(index=np.zeros(trials, dtype=np.int64), labels=[label])


def groups_by(values: Shaped[np.ndarray, " B"], most: int) -> tuple[Int[np.ndarray, " B"], Shaped[np.ndarray, " K"]]:
    """Each trial's group (-1: not shown), and the values that make a group: at most so many, evenly spread."""
    every = np.unique(values)
    kept = every[spread_out(len(every), most)]
    place = np.searchsorted(kept, values).clip(max=len(kept) - 1)
    return np.where(kept[place] == values, place, -1), kept


def draw_averages(
    data: Float[np.ndarray, "K T N"],
    model: Float[np.ndarray, "K T N"],
    groups: Groups,
    titles: Sequence[str],
    time: TimeAxis,
    unit: str,
    *,
    smoothing_ms: float | None = None,
) -> Figure:
    """Draw a panel for each channel: the averages of the data (dashed) and of the rates (solid) of each group.

    ``smoothing_ms`` is the width of the Gaussian that the data were smoothed with, for the legend.
    """
    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = new_figure(3.2 * columns, 2.1 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for n, (ax, title) in enumerate(zip(axes, titles, strict=False)):
        for k, colour in enumerate(groups.colours):
            ax.plot(time.middles, data[k, :, n], color=colour, **_DATA)
            ax.plot(time.middles, model[k, :, n], color=colour, **_MODEL)
        mark_event(ax, time.event)
        few_ticks(ax.yaxis)
        dress(ax, title, time.label, unit if n % columns == 0 else "")
    for ax in axes[len(titles) :]:
        ax.set_axis_off()
    smoothed = "" if smoothing_ms is None else f", smoothed by {smoothing_ms:g} ms"
    lines = {f"data{smoothed}": {"color": INK, **_DATA}, "model's rates": {"color": INK, **_MODEL}}
    key_of(figure, {**lines, **event_key(time), **groups.key})
    return figure


def event_key(time: TimeAxis) -> Key:
    """What a legend says of the line at the event that trials are aligned to, if it is within them and has a name."""
    return {time.name: EVENT} if time.event is not None and time.name else {}
