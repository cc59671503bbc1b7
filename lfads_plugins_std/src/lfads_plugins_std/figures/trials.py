"""What was recorded beside what was inferred, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Real

from lfads_plugins_std.figures.colours import HEAT, MISSING, ORANGE, colour_map, colours_of
from lfads_plugins_std.figures.conditions import event_key
from lfads_plugins_std.figures.figure import Key, colour_bar, dress, key_of, legend, mark_event, new_figure
from lfads_plugins_std.figures.ticks import whole_ticks
from lfads_plugins_std.figures.units import ARBITRARY, Scale, TimeAxis, spread_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EVENTS: tuple[Mapping[str, Any], ...] = tuple({"color": ORANGE, "lw": 1.0, "ls": dashes} for dashes in ((0, (4, 2)), (0, (1, 1)), (0, (4, 1, 1, 1))))
"""Lines at events of single trials."""

_HELD_OUT: Mapping[str, Any] = {"color": ORANGE, "lw": 3.0, "solid_capstyle": "butt"}
_UNSEEN: Mapping[str, Any] = {"color": MISSING, "lw": 6.0, "solid_capstyle": "butt"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Some trials as pictures of channels over time: each kind's values, the recording first, and the ends of its colour scale."""

    trials: Int[np.ndarray, " n"]
    kinds: Mapping[str, tuple[Real[np.ndarray, "n T N"], tuple[float, float]]]
    time: TimeAxis
    unit: str
    held_out: int = 0  # so many channels, the last ones, were not seen by the model
    events: Mapping[str, Float[np.ndarray, " n"]] = field(default_factory=dict)  # a moment of each trial, by name

    @property
    def key(self) -> Key:
        """What a legend says of their lines and marks."""
        own = {name: line for name, line in zip(self.events, _EVENTS, strict=False) if name != self.time.name}
        unseen = any(np.isnan(values).any() for values, _ in self.kinds.values())
        return {
            **event_key(self.time),
            **own,
            **({"held-out channels": _HELD_OUT} if self.held_out else {}),
            **({"not observed": _UNSEEN} if unseen else {}),
        }

    def draw(self, axes: Any, row: int, *, last: bool = True) -> Any:
        """Draw one of the trials, a kind on each of the axes; returns the last image."""
        image, count = None, next(iter(self.kinds.values()))[0].shape[2]
        extent = (self.time.begin, self.time.end, count, 0)
        for column, (ax, (name, (values, (low, high)))) in enumerate(zip(axes, self.kinds.items(), strict=False)):
            colours = colour_map(HEAT if column else None)
            image = ax.imshow(values[row].T, aspect="auto", extent=extent, interpolation="none", cmap=colours, vmin=low, vmax=high)
            if not column:
                image.set_gid("raster")
            if self.held_out:
                ax.plot((1.012, 1.012), (count - self.held_out, count), transform=ax.get_yaxis_transform(), clip_on=False, **_HELD_OUT)
            self.mark(ax, row, zorder=2, **({"color": "white"} if column else {}))
            title = name if column else f"{name}, trial {self.trials[row]}"
            dress(ax, title, self.time.label if last else "", "" if column else "channel (sorted)")
            whole_ticks(ax.xaxis)
            whole_ticks(ax.yaxis)
        return image

    def mark(self, ax: Any, row: int, **line: Any) -> None:
        """Draw upright lines at the event that trials are aligned to and at the trial's own events."""
        mark_event(ax, self.time.event, **line)
        for (name, moments), own in zip(self.events.items(), _EVENTS, strict=False):
            if name != self.time.name and self.time.begin <= moments[row] <= self.time.end:
                mark_event(ax, moments[row], **{**own, **line, "color": own["color"]})


def pictures_of(
    kinds: Mapping[str, Real[np.ndarray, "B T N"]],
    most: int,
    time: TimeAxis,
    scale: Scale,
    *,
    counts: bool = True,
    seen: int | None = None,
    events: Mapping[str, Float[np.ndarray, " B"]] | None = None,
) -> Pictures:
    """At most so many trials of the recording, the rates (per bin) and other values like these, which ``scale`` multiplies.

    Channels are sorted by the time of their highest average rate, those that the model has not seen (all but the first ``seen``) after the
    others. Rates share one colour scale that ends at their 99.5th percentile.
    """
    data, rates, *_ = kinds.values()
    seen = data.shape[2] if seen is None else seen
    trials, order = spread_out(len(data), most), np.concatenate([_by_peak(rates[..., :seen]), seen + _by_peak(rates[..., seen:])])
    limits = [_limits(data[trials], counts), *[_limits(rates[trials] * scale.factor, False)] * (len(kinds) - 1)]
    shown = [values[trials][:, :, order] * (scale.factor if i else 1) for i, values in enumerate(kinds.values())]
    return Pictures(
        trials=trials,
        kinds=dict(zip(kinds, zip(shown, limits, strict=True), strict=True)),
        time=time,
        unit=scale.unit,
        held_out=data.shape[2] - seen,
        events={name: moments[trials] for name, moments in (events or {}).items()},
    )


def draw_trials(pictures: Pictures) -> Figure:
    """Draw a few trials, one per row: the recording, the inferred rates, the true rates where known.

    Data that were not observed (NaN) have a colour of their own, which the legend names.
    """
    count, kinds = len(pictures.trials), len(pictures.kinds)
    figure = new_figure(2.9 * kinds + 0.7, 2.1 * max(1, count) + 0.6)
    axes = figure.subplots(max(1, count), kinds, squeeze=False, sharex=True, sharey=True)
    for row in range(count):
        image = pictures.draw(axes[row], row, last=row == count - 1)
    if count:
        colour_bar(figure, image, axes[:, 1:], pictures.unit)
    key_of(figure, pictures.key)
    return figure


def draw_trial(pictures: Pictures, row: int, lines: Mapping[str, Float[np.ndarray, " T"]], title: str) -> Figure:
    """Draw one trial alone, and beside its pictures lines such as its inputs or factors, which have no unit."""
    figure = new_figure(10.2, 2.8)
    *axes, beside = figure.subplots(1, len(pictures.kinds) + 1)
    colour_bar(figure, pictures.draw(axes, row), axes[1:], pictures.unit)
    for (name, values), colour in zip(lines.items(), colours_of(len(lines)), strict=True):
        beside.plot(pictures.time.middles, values, color=colour, lw=1.3, label=name)
    pictures.mark(beside, row)
    legend(beside, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    dress(beside, title, pictures.time.label, ARBITRARY)
    key_of(figure, pictures.key)
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
