"""How well one session reaches the components that all sessions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lfads_plugins_std.figures.figure import BLUE, INK, dress, mark_event, new_figure
from lfads_plugins_std.figures.units import TimeAxis, spread_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COMPONENTS = 4
MOST_CONDITIONS = 4


def draw_alignment(shared: Float[np.ndarray, "K T D"], projected: Float[np.ndarray, "K T D"], time: TimeAxis, session: str) -> Figure:
    """Draw the first shared components (black) of some conditions, and what the session's averages are projected to (blue)."""
    count, conditions = min(MOST_COMPONENTS, shared.shape[2]), spread_out(len(shared), MOST_CONDITIONS)
    figure = new_figure(9.6, 1.25 * count + 0.8, f"{session}: shared components (black) and their reconstruction (blue)")
    axes = figure.subplots(count, len(conditions), squeeze=False, sharex=True, sharey="row")
    for row in range(count):
        for column, k in enumerate(conditions):
            ax = axes[row, column]
            ax.plot(time.middles, shared[k, :, row], color=INK, lw=1.0)
            ax.plot(time.middles, projected[k, :, row], color=BLUE, lw=1.4)
            mark_event(ax, time.event)
            dress(ax, f"condition {k + 1}" if row == 0 else "", time.label if row == count - 1 else "", f"component {row + 1}" if column == 0 else "")
    return figure
