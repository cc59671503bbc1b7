"""Inferred rates against the rates that made the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, Real

from lfads_plugins_std.figures.channels import Channels
from lfads_plugins_std.figures.colours import BLUE, HEAT, INK, SOFT
from lfads_plugins_std.figures.conditions import event_key
from lfads_plugins_std.figures.figure import dress, key_of, mark_event, new_figure
from lfads_plugins_std.figures.units import Scale, TimeAxis, spread_out, time_axis
from lfads_plugins_std.metrics.r2 import r2_per_channel, r2_score, r2_variance_weighted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CHANNELS = 4
MOST_TRIALS = 3

_TRUE = {"color": INK, "lw": 1.0}
_INFERRED = {"color": BLUE, "lw": 1.4}


def draw_truth(
    rates: Real[np.ndarray, "B T N"],
    truth: Real[np.ndarray, "B T N"],
    *,
    scale: Scale | None = None,
    channels: Channels | None = None,
    time: TimeAxis | None = None,
) -> Figure:
    """Draw traces of some channels in some trials, and all values against the truth with their R2.

    Values per bin come in, those of ``scale`` go out. The channels shown run evenly from the best to the worst R2.
    ``time`` says when the bins are, if not by their number.
    """
    scale, count = scale or Scale(), rates.shape[2]
    channels = channels or Channels(names=[str(n) for n in range(count)], seen=count)
    shown, trials = _spread_by_fit(rates, truth), spread_out(len(rates), MOST_TRIALS)
    figure = new_figure(9.6, 1.25 * max(1, len(shown)) + 1.1)
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1.75, 1)))
    axes = left.subplots(max(1, len(shown)), max(1, len(trials)), squeeze=False, sharex=True, sharey="row")
    time = time or time_axis(rates.shape[1], None)
    for row, n in enumerate(shown.tolist()):
        for column, trial in enumerate(trials):
            ax = axes[row, column]
            ax.plot(time.middles, truth[trial, :, n] * scale.factor, **_TRUE)
            ax.plot(time.middles, rates[trial, :, n] * scale.factor, **_INFERRED)
            mark_event(ax, time.event)
            last = row == len(shown) - 1
            dress(ax, f"trial {trial}" if row == 0 else "", time.label if last else "", f"{channels.title(n)}\n{scale.unit}" if column == 0 else "")
        if min(rates.min(), truth.min()) >= 0:
            axes[row, 0].set_ylim(bottom=0)  # after all lines are drawn: it ends the automatic choice
    _draw_density(right.subplots(), rates * scale.factor, truth * scale.factor, scale.unit)
    key_of(figure, {"true": _TRUE, "inferred": _INFERRED, **event_key(time)})
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
    scores = f"R² {r2_score(rates, truth):.3f} (mean of channels)\nR² {r2_variance_weighted(rates, truth):.3f} (variance-weighted)"
    dress(ax, f"all trials, bins and channels\n{scores}", f"true {unit}", f"inferred {unit}")


def _spread_by_fit(rates: np.ndarray, truth: np.ndarray) -> Int[np.ndarray, " n"]:
    scores = r2_per_channel(rates, truth)
    ranked: np.ndarray = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    return np.asarray(ranked[spread_out(len(ranked), MOST_CHANNELS)])
