"""How well one session reaches the components that all sessions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from numpy import ndarray

from lfads_plugins_std.alignment.align import Shared
from lfads_plugins_std.figures.colours import BLUE, INK
from lfads_plugins_std.figures.conditions import event_key
from lfads_plugins_std.figures.figure import dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.units import ARBITRARY, TimeAxis, spread_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COMPONENTS = 4
MOST_CONDITIONS = 4

_SHARED = {"color": INK, "lw": 1.0}
_OWN = {"color": BLUE, "lw": 1.4}


def draw_alignment(shared: Shared, projected: Float[ndarray, "K T D"], time: TimeAxis, session: str) -> Figure:
    """Draw the first shared components of some conditions, and what the session's averages are projected to."""
    count, conditions = min(MOST_COMPONENTS, shared.components.shape[2]), spread_out(len(shared.conditions), MOST_CONDITIONS)
    figure = new_figure(9.6, 1.25 * count + 1.0, f"{session}: alignment to the components of all sessions")
    axes = figure.subplots(count, len(conditions), squeeze=False, sharex=True, sharey="row")
    for row in range(count):
        for column, k in enumerate(conditions):
            ax = axes[row, column]
            ax.plot(time.middles, shared.components[k, :, row], **_SHARED)
            ax.plot(time.middles, projected[k, :, row], **_OWN)
            mark_event(ax, time.event)
            title = f"condition {shared.conditions[k]}" if row == 0 else ""
            dress(ax, title, time.label if row == count - 1 else "", f"component {row + 1}\n({ARBITRARY})" if column == 0 else "")
    key_of(figure, {"shared components": _SHARED, f"projection of {session}": _OWN, **event_key(time)})
    return figure
