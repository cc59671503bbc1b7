"""Initial conditions: are trials told apart before they begin?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Real

from lfads_plugins_std.figures.factors import principal_components
from lfads_plugins_std.figures.figure import dress, key_of, new_figure
from lfads_plugins_std.figures.groups import Groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_initial_conditions(means: Real[np.ndarray, "B I"], groups: Groups) -> Figure:
    """Draw the posterior means in three principal components, a dot for each trial in the colour of its group."""
    scores, shares = principal_components(means[:, None])
    figure = new_figure(8.0, 3.6)
    for ax, other in zip(figure.subplots(1, 2), (1, 2), strict=True):
        for rows, colour in zip(groups.rows, groups.colours, strict=True):
            ax.scatter(scores[rows, 0, 0], scores[rows, 0, other], color=[colour], s=12, alpha=0.8, lw=0)
        title = f"Initial conditions, components 1 and {other + 1}"
        dress(ax, title, f"component 1 ({shares[0]:.0%} of the variance)", f"component {other + 1} ({shares[other]:.0%})")
    key_of(figure, groups.labels, groups.colours)
    return figure
