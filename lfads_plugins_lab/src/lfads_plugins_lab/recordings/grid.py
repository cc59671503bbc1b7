"""Times of events in a cell for each trial and channel, as many labs keep them in MATLAB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from lfads_core.errors import ConfigError, DataError
from lfads_plugins_lab.recordings.raw import Trials

Grid = list[list[np.ndarray]]
TOLD_BY = 0.5
"""Share of the events that must lie within their own trials on the clock that is taken, and twice that on the other."""


class Cells(list[Any]):
    """A cell array of two axes, row by row, with its shape."""

    def __init__(self, items: Sequence[Any], shape: tuple[int, int]) -> None:
        super().__init__(items)
        self.shape = shape

    def rows(self) -> list[list[Any]]:
        """Row by row."""
        return [self[i * self.shape[1] : (i + 1) * self.shape[1]] for i in range(self.shape[0])]


def as_grid(where: str, times: list[Any]) -> list[list[Any]] | None:
    """Rows of cells; None for a list with an array for each channel.

    Raises:
        DataError: rows differ in length.
    """
    if isinstance(times, Cells):
        return times.rows()
    if not times or not all(isinstance(row, list) for row in times):
        return None
    lengths = sorted({len(row) for row in times})
    if len(lengths) > 1:
        raise DataError(f"{where}: each trial must hold as many channels, got {lengths[0]} and {lengths[-1]}. Fill what is missing with empty cells.")
    return [list(row) for row in times]


def trials_first(where: str, grid: list[list[Any]], trials: int | None, axes: str | None) -> Grid:
    """Cells with trials as rows: as ``axes`` says (``bn`` or ``nb``), or as the number of trials tells.

    Raises:
        DataError: neither tells, or they contradict one another.
        ConfigError: ``axes`` is about something else.
    """
    shape = (len(grid), len(grid[0]))
    if axes is not None and sorted(axes) != ["b", "n"]:
        raise ConfigError(f"--axes: must be bn or nb for cells of trials (b) and channels (n), got {axes!r}")
    if axes is None:
        fits = [name for name, count in (("bn", shape[0]), ("nb", shape[1])) if count == trials]
        if len(fits) != 1:
            known = "the number of trials is not known (no start)" if trials is None else f"there are {trials} trials"
            raise DataError(
                f"{where}: which axis of the cells {shape[0]} x {shape[1]} is trials must be known, and {known}. Say --axes bn if rows are trials "
                "(b) and columns channels (n), or --axes nb."
            )
        axes = fits[0]
    rows = grid if axes == "bn" else [list(column) for column in zip(*grid, strict=True)]
    if trials is not None and len(rows) != trials:
        raise DataError(f"{where}: there must be cells for each of {trials} trials, got {shape[0]} x {shape[1]} with --axes {axes}. Turn the axes.")
    return [[_times(where, cell) for cell in row] for row in rows]


def _times(where: str, cell: Any) -> Num[np.ndarray, " _"]:
    values = np.ravel(np.asarray(cell if not isinstance(cell, list) or cell else np.zeros(0)))
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: cells must hold times of events, got {type(cell).__name__}. Name another array with --key times=NAME.")
    return values.astype(np.float64)


def on_one_clock(where: str, cells: Grid, trials: Trials, counted_from: str | None) -> tuple[list[list[np.ndarray]], str]:
    """Times of each trial's cells on the session's clock, and a sentence on what they were counted from.

    Raises:
        DataError: what they were counted from cannot be told.
    """
    if counted_from is None:
        counted_from = _told(where, cells, trials)
    if counted_from == "session":
        return cells, "times of events are on the clock of the trials, as more of them lie within their own trials so."
    moved = [[times + start for times in row] for row, start in zip(cells, trials.start, strict=True)]
    return moved, "times of events count from the start of their own trial, as more of them lie within it so."


def _told(where: str, cells: Grid, trials: Trials) -> str:
    inside = {"session": 0, "trial": 0}
    total = 0
    for row, start, stop in zip(cells, trials.start, trials.stop, strict=True):
        times = np.concatenate([t[np.isfinite(t)] for t in row] or [np.zeros(0)])
        total += times.size
        length = stop - start
        inside["session"] += int(((times >= start) & (times <= stop)).sum())
        inside["trial"] += int(((times >= 0) & (times <= length)).sum())
    best, other = sorted(inside, key=lambda name: -inside[name])
    if total and (inside[best] < TOLD_BY * total or 2 * inside[other] > inside[best]) and not (trials.start == 0).all():
        raise DataError(
            f"{where}: what times of events count from must be known: {inside['session']} of {total} lie within their own trials on the "
            f"trials' clock, {inside['trial']} counted from the trials' start. Say --times-from session or --times-from trial."
        )
    return best if total else "session"


def laid_out(cells: Grid) -> Trials:
    """Starts for trials of which nothing is known but their events, far enough apart."""
    reach = max((float(np.abs(t[np.isfinite(t)]).max(initial=0.0)) for row in cells for t in row), default=0.0)
    starts = np.arange(len(cells)) * (2 * np.ceil(reach) + 1)
    return Trials(start=starts, stop=np.full(len(cells), np.nan))


def by_channel(cells: Grid, names: Sequence[str], trials: Trials) -> tuple[dict[str, np.ndarray], Mapping[str, Float[np.ndarray, "B 2"]]]:
    """All times of each channel, each once, and the spans in which it was recorded: nothing is known between trials."""
    units = {name: np.unique(np.concatenate([row[n] for row in cells])) for n, name in enumerate(names)}
    if np.isnan(trials.stop).any():
        return units, {}
    low = np.array([min([start, *(t.min() for t in row if t.size)]) for row, start in zip(cells, trials.start, strict=True)])
    high = np.array([max([stop, *(t.max() for t in row if t.size)]) for row, stop in zip(cells, trials.stop, strict=True)])
    return units, dict.fromkeys(names, np.stack([low, high], axis=1))
