"""What was recorded beside what was inferred, trial by trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, Real

from lfads_plugins_std.figures.figure import HEAT, colour_bar, colour_map, dress, new_figure
from lfads_plugins_std.figures.units import TimeAxis, rate_unit, spread_out, time_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

    Channels are sorted by the time of their highest average rate, the same in all panels; values per bin come in, spikes/s
    go out where the bin width is known. Data that were not observed (NaN) have a colour of their own.
    Rates share one colour scale that ends at their 99.5th percentile. ``time`` says when the bins are, if not from the start of the trial.
    """
    trials = spread_out(len(data), most)
    order = _by_peak(rates)
    factor, unit = rate_unit(bin_ms, is_rate)
    columns = [("recorded", data, 1.0), ("inferred", rates, factor)] + ([] if truth is None else [("true", truth, factor)])
    figure = new_figure(2.9 * len(columns) + 0.7, 2.1 * max(1, len(trials)) + 0.5, "Trials")
    axes = figure.subplots(max(1, len(trials)), len(columns), squeeze=False, sharex=True, sharey=True)
    scales = [_limits(data[trials], is_rate), *[_limits(rates[trials] * factor, False)] * (len(columns) - 1)]
    time = time or time_axis(data.shape[1], bin_ms)
    extent = (time.begin, time.end, data.shape[2], 0)
    image = None
    for row, trial in enumerate(trials):
        for column, (name, values, scale) in enumerate(columns):
            ax = axes[row, column]
            low, high = scales[column]
            picture = values[trial][:, order].T * scale
            raster = column == 0
            shown = ax.imshow(
                picture,
                aspect="auto",
                extent=extent,
                interpolation="nearest",
                cmap=colour_map("Greys" if raster else HEAT),
                vmin=low,
                vmax=high,
                rasterized=True,
            )
            image = image if raster else shown
            last = row == len(trials) - 1
            dress(ax, f"{name}, trial {trial}" if raster else name, time.label if last else "", "channel (sorted)" if raster else "")
    if image is not None:
        colour_bar(figure, image, axes[:, 1:], unit)
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
