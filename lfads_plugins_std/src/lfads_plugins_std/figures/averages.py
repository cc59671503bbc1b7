"""Averages over conditions: the data's beside the model's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lfads_plugins_std.figures.figure import dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.groups import Groups
from lfads_plugins_std.figures.units import TimeAxis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
