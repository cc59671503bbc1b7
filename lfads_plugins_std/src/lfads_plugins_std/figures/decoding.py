"""Behaviour as recorded, and as decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Real

from lfads_plugins_std.figures.colours import BLUE, SOFT
from lfads_plugins_std.figures.figure import dress, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 6  # bins between trials


def draw_decoding(
    recorded: Real[np.ndarray, "B T D"], decoded: Real[np.ndarray, "B T D"], titles: Sequence[str], labels: Sequence[str], step: float, unit: str
) -> Figure:
    """Draw each dimension (its label with its unit) below the others, trials side by side with bins of ``step`` in ``unit``."""
    trials, bins, _ = recorded.shape
    x = ((np.arange(bins + 1) + (bins + _GAP) * np.arange(trials)[:, None]) * step).ravel()
    figure = new_figure(9.6, 1.7 * len(titles) + 0.4)
    for k, ax in enumerate(figure.subplots(len(titles), 1, squeeze=False)[:, 0]):
        for values, colour, width, label in ((recorded, SOFT, 2.0, "recorded"), (decoded, BLUE, 1.3, "decoded")):
            ax.plot(
                x, np.pad(values[..., k].astype(np.float64), ((0, 0), (0, 1)), constant_values=np.nan).ravel(), color=colour, lw=width, label=label
            )
        dress(ax, titles[k], f"{trials} trials side by side ({unit})", labels[k])
        if k == 0:
            legend(ax, above=True)
    return figure
