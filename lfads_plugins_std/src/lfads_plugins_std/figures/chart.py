"""A chart that a section of a page describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lfads_plugins_std.figures.colours import BLUE, SOFT
from lfads_plugins_std.figures.figure import dress, legend, new_figure, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lfads_core.components.page import ChartBlock


def draw_chart(chart: ChartBlock) -> Figure:
    """Draw its curves, strong ones blue and thick, others grey and thin; where nothing is known it says so. The title is the page's to write."""
    figure = new_figure(3.2, 1.9)
    ax = figure.subplots()
    for curve in chart.curves:
        colour, width, alpha = (BLUE, 1.8, 1.0) if curve.strong else (SOFT, 0.7, 0.6)
        ax.plot(curve.x, curve.y, label=curve.label or None, color=colour, lw=width, alpha=alpha)
    dress(ax, "", chart.x, chart.y)
    if not any(np.isfinite(curve.x).any() and np.isfinite(curve.y).any() for curve in chart.curves):
        note(ax, "Nothing was measured.")
    elif chart.log:
        ax.set_yscale("log")
    if any(curve.label for curve in chart.curves):
        legend(ax)
    return figure
