"""What the figures of a search share: each member's colour, and labels at the end of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lfads_plugins_std.figures.colours import ORANGE, colour_scale
from lfads_plugins_std.figures.figure import colour_bar
from lfads_plugins_std.metrics.titles import score_title
from lfads_plugins_tune.figures.story import Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST = ORANGE
LOST = "#c9c9c9"
"""Members that never had a score."""

_LIGHTEST = 0.88  # of the colour map: yellow lines on white are not seen


class Palette:
    """Members' colours by their last score, from dark (best) to light (worst)."""

    def __init__(self, story: Story) -> None:
        scores = list(story.final.values())
        low, high = (min(scores), float(np.quantile(scores, 0.9 if story.sign > 0 else 1.0))) if scores else (0.0, 1.0)
        if story.sign < 0 and scores:
            low = float(np.quantile(scores, 0.1))
        self._final = story.final
        self.mappable = colour_scale(low, high if high > low else low + 1e-9, _LIGHTEST, backwards=story.sign < 0)

    def __getitem__(self, member: int) -> Any:
        return self.of_score(self._final.get(member))

    def of_score(self, score: float | None) -> Any:
        """The colour of a score as the column has it."""
        return LOST if score is None else self.mappable.to_rgba(score)

    def explain(self, figure: Figure, axes: Any, story: Story) -> None:
        """Draw the scale."""
        colour_bar(figure, self.mappable, axes, f"last {score_title(story.column)}")


def write_right(ax: Axes, y: float, text: str, colour: Any, *, bold: bool = False) -> None:
    """Write to the right of the axes, at a height in data units."""
    weight = "bold" if bold else "normal"
    ax.text(
        1.01,
        y,
        text,
        transform=ax.get_yaxis_transform(),
        fontsize=6.5,
        color=colour,
        va="center",
        ha="left",
        fontweight=weight,
        clip_on=False,
        parse_math=False,
    )
