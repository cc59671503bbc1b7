"""What was recorded beside what was inferred, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Real

from lfads_plugins_std.figures.figure import HEAT, colour_bar, colour_map, colours_of, dress, legend, mark_event, new_figure, whole_ticks
from lfads_plugins_std.figures.units import TimeAxis, rate_unit, spread_out, time_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Some trials as pictures of channels over time: each kind's values, the recording first, and the ends of its colour scale."""

    trials: Int[np.ndarray, " n"]
    kinds: Mapping[str, tuple[Real[np.ndarray, "n T N"], tuple[float, float]]]
    time: TimeAxis
    unit: str

    def draw(self, axes: Any, row: int, *, last: bool = True) -> Any:
        """Draw one of the trials, a kind on each of the axes; returns the last image."""
        image = None
        extent = (self.time.begin, self.time.end, next(iter(self.kinds.values()))[0].shape[2], 0)
        for column, (ax, (name, (values, (low, high)))) in enumerate(zip(axes, self.kinds.items(), strict=False)):
            colours = colour_map(HEAT if column else None)
            image = ax.imshow(values[row].T, aspect="auto", extent=extent, interpolation="none", cmap=colours, vmin=low, vmax=high)
            if not column:
                image.set_gid("raster")
            title = name if column else f"{name}, trial {self.trials[row]}"
            dress(ax, title, self.time.label if last else "", "" if column else "channel (sorted)")
            whole_ticks(ax.xaxis)
            whole_ticks(ax.yaxis)
        return image


def pictures_of(
    kinds: Mapping[str, Real[np.ndarray, "B T N"]], most: int, time: TimeAxis, scale: tuple[float, str], *, counts: bool = True
) -> Pictures:
    """At most so many trials of the recording, the rates (per bin) and other values like these, for which ``scale`` has a factor and a unit.

    Channels are sorted by the time of their highest average rate. Rates share one colour scale that ends at their 99.5th percentile.
    """
    data, rates, *_ = kinds.values()
    trials, order, factor = spread_out(len(data), most), _by_peak(rates), scale[0]
    limits = [_limits(data[trials], counts), *[_limits(rates[trials] * factor, False)] * (len(kinds) - 1)]
    shown = [values[trials][:, :, order] * (factor if i else 1) for i, values in enumerate(kinds.values())]
    return Pictures(trials=trials, kinds=dict(zip(kinds, zip(shown, limits, strict=True), strict=True)), time=time, unit=scale[1])


def draw_trials(
    data: Real[np.ndarray, "B T N"],
    rates: Real[np.ndarray, "B T N"],
    bin_ms: float | None = None,
    *,
    is_rate: bool = True,
    truth: Real[np.ndarray, "B T N"] | None = None,
    most: int = 3,
    time: TimeAxis | None = None,
) -> Figure:
    """Draw a few trials, one per row: the recording, the inferred rates, the true rates where known.

    Values per bin come in, spikes/s go out where the bin width is known. Data that were not observed (NaN) have a colour of their own.
    ``time`` says when the bins are, if not from the start of the trial.
    """
    kinds = {"recorded": data, "inferred": rates} | ({} if truth is None else {"true": truth})
    pictures = pictures_of(kinds, most, time or time_axis(data.shape[1], bin_ms), rate_unit(bin_ms, is_rate), counts=is_rate)
    count = len(pictures.trials)
    figure = new_figure(2.9 * len(kinds) + 0.7, 2.1 * max(1, count) + 0.4)
    axes = figure.subplots(max(1, count), len(kinds), squeeze=False, sharex=True, sharey=True)
    for row in range(count):
        image = pictures.draw(axes[row], row, last=row == count - 1)
    if count:
        colour_bar(figure, image, axes[:, 1:], pictures.unit)
    return figure


def draw_trial(pictures: Pictures, row: int, lines: Mapping[str, Float[np.ndarray, " T"]], title: str) -> Figure:
    """Draw one trial alone, and beside its pictures lines such as its inputs or factors, which have no unit."""
    figure = new_figure(10.2, 2.6)
    *axes, beside = figure.subplots(1, len(pictures.kinds) + 1)
    colour_bar(figure, pictures.draw(axes, row), axes[1:], pictures.unit)
    for (name, values), colour in zip(lines.items(), colours_of(len(lines)), strict=True):
        beside.plot(pictures.time.middles, values, color=colour, lw=1.3, label=name)
    mark_event(beside, pictures.time.event)
    legend(beside, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    dress(beside, title, pictures.time.label, "arbitrary unit")
    return figure


def _by_peak(rates: np.ndarray) -> Int[np.ndarray, " N"]:
    """Channels in the order in which their average rate peaks."""
    return np.argsort(np.nanmean(rates, axis=0).argmax(axis=0), kind="stable")


def _limits(values: np.ndarray, counts: bool) -> tuple[float, float]:
    """Ends of a colour scale; a raster of spikes is black from two on, and single ones are seen well."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    if counts:
        return 0.0, max(1.4, float(np.percentile(known, 99.5)) / 1.4)
    low, high = float(min(known.min(), 0.0)), float(np.percentile(known, 99.5))
    return low, high if high > low else low + 1.0
