"""Inferred rates against the rates that made the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, Real

from lfads_plugins_std.figures.figure import BLUE, HEAT, INK, SOFT, dress, mark_event, new_figure, note
from lfads_plugins_std.figures.units import TimeAxis, rate_unit, spread_out, time_axis
from lfads_plugins_std.metrics.r2 import r2_per_channel, r2_score, r2_variance_weighted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CHANNELS = 4
MOST_TRIALS = 3


def draw_truth(
    rates: Real[np.ndarray, "B T N"],
    truth: Real[np.ndarray, "B T N"],
    bin_ms: float | None = None,
    *,
    is_rate: bool = True,
    time: TimeAxis | None = None,
) -> Figure:
    """Draw traces of some channels in some trials, and all values against the truth with their R2.

    Values per bin come in, spikes/s go out where the bin width is known. The channels shown run evenly from the best to the worst R2.
    ``time`` says when the bins are, if not from the start of the trial.
    """
    factor, unit = rate_unit(bin_ms, is_rate)
    channels, trials = _spread_by_fit(rates, truth), spread_out(len(rates), MOST_TRIALS)
    figure = new_figure(9.6, 1.25 * max(1, len(channels)) + 1.0, "Rates against the truth (black: true, blue: inferred)")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1.75, 1)))
    axes = left.subplots(max(1, len(channels)), max(1, len(trials)), squeeze=False, sharex=True, sharey="row")
    time = time or time_axis(rates.shape[1], bin_ms)
    for row, n in enumerate(channels):
        for column, trial in enumerate(trials):
            ax = axes[row, column]
            ax.plot(time.middles, truth[trial, :, n] * factor, color=INK, lw=1.0)
            ax.plot(time.middles, rates[trial, :, n] * factor, color=BLUE, lw=1.4)
            mark_event(ax, time.event)
            last = row == len(channels) - 1
            dress(ax, f"trial {trial}" if row == 0 else "", time.label if last else "", f"channel {n}\n{unit}" if column == 0 else "")
        if is_rate:
            axes[row, 0].set_ylim(bottom=0)  # after all lines are drawn: it ends the automatic choice
    _draw_density(right.subplots(), rates * factor, truth * factor, unit)
    return figure


def _draw_density(ax: Axes, rates: np.ndarray, truth: np.ndarray, unit: str) -> None:
    x, y = truth.ravel(), rates.ravel()
    top = 1.03 * max(float(x.max()), float(np.percentile(y, 99.9))) or 1.0
    low = float(min(x.min(), y.min(), 0.0))
    ax.hexbin(x, y, gridsize=45, extent=(low, top, low, top), bins="log", mincnt=1, cmap=HEAT, linewidths=0.1, rasterized=True)
    ax.plot((low, top), (low, top), color=SOFT, lw=0.8)
    ax.set_xlim(low, top)
    ax.set_ylim(low, top)
    ax.set_aspect("equal")
    dress(ax, "all trials, bins and channels", f"true {unit}", f"inferred {unit}")
    note(ax, f"R² {r2_score(rates, truth):.3f} (mean of channels)\nR² {r2_variance_weighted(rates, truth):.3f} (variance-weighted)")


def _spread_by_fit(rates: np.ndarray, truth: np.ndarray) -> Int[np.ndarray, " n"]:
    scores = r2_per_channel(rates, truth)
    ranked: np.ndarray = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    return np.asarray(ranked[spread_out(len(ranked), MOST_CHANNELS)])
