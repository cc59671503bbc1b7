"""Figures of a search, from its journal and its table. Importing this package loads no matplotlib; drawing needs the extra ``plot``."""

from __future__ import annotations

from pathlib import Path

from lfads_core.config.fields import FigureFormat
from lfads_plugins_std.figures.files import save
from lfads_plugins_tune.figures.curves import draw_search_curves
from lfads_plugins_tune.figures.hyperparameters import draw_hyperparameters
from lfads_plugins_tune.figures.lineage import draw_lineage
from lfads_plugins_tune.figures.scores import draw_scores
from lfads_plugins_tune.figures.story import Story, read_story

__all__ = ["Story", "draw_hyperparameters", "draw_lineage", "draw_scores", "draw_search", "draw_search_curves", "read_story"]


def draw_search(folder: Path, form: FigureFormat) -> list[Path]:
    """Draw all figures of a search into its folder ``plots``; a search of one generation has no lineage, and its hyperparameters stood still.

    Raises:
        RunError: the folder holds no search, or none of its generations is over.
        LfadsError: matplotlib is not installed.
    """
    story = read_story(folder)
    figures = {"curves": draw_search_curves, "scores": draw_scores}
    if len(story.generations) > 1:
        figures |= {"hyperparameters": draw_hyperparameters, "lineage": draw_lineage}
    return [save(draw(story), folder / "plots" / f"{name}.{form}") for name, draw in figures.items()]
