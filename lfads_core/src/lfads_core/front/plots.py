"""Figures of a run, drawn where it is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfads_core.config.fields import FigureFormat
from lfads_core.front.brought import brought
from lfads_core.front.words import said_in_python

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lfads_core.front.trained import TrainedRun


@dataclass(frozen=True)
class RunPlots:
    """Matplotlib figures of a run; in a notebook each appears where it is the last thing of a cell. ``split`` is validation by default."""

    run: TrainedRun

    def trials(self, *, split: str | None = None, most: int = 3) -> Figure:
        """A few trials: the recording, the inferred rates, and the true ones where they are known."""
        return self._draw("trials", split=split, most=most)

    def factors(self, *, split: str | None = None) -> Figure:
        """Trajectories of the factors in their first three principal components, by condition where there are any."""
        return self._draw("factors", split=split)

    def psth(self, *, split: str | None = None) -> Figure:
        """Averages of data and rates over the trials of each condition."""
        return self._draw("psth", split=split)

    def inputs(self, *, split: str | None = None) -> Figure:
        """Inferred inputs: averages, and single trials."""
        return self._draw("inputs", split=split)

    def training(self) -> Figure:
        """Costs, scores and ramps over epochs."""
        return self._draw("training")

    @said_in_python
    def save(self, folder: str | Path | None = None, *, format: FigureFormat = "pdf") -> list[Path]:  # noqa: A002 - the word of the command
        """Write every figure of the run's page as a file of its own, into the run's folder ``plots`` by default; returns the files.

        Words stay words in pdf and svg. A single figure is written by matplotlib's ``savefig``.

        Raises:
            ConfigError: there is no such format.
        """
        self.run.ensure_inferred()
        written: list[Path] = brought("run-figures", self.run.registry)(self.run, None if folder is None else Path(folder), format)
        return written

    def _draw(self, kind: str, **options: Any) -> Figure:
        self.run.ensure_inferred()
        figure: Figure = brought("run-figure", self.run.registry)(self.run, kind, **options)
        return figure
