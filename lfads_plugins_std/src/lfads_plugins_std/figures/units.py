"""Axes in units people think in: milliseconds, and events per second, where the bin width is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lfads_core.data.session import Session

ARBITRARY = "arbitrary unit"
"""Of factors and inferred inputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeAxis:
    """Time within a trial, as figures and the report show it."""

    edges: Float[np.ndarray, " edges"]  # of the bins, one more than these
    label: str
    unit: str  # ms or bins
    event: float | None = None  # where trials are aligned to, if that is within them
    name: str = ""  # of the event

    @property
    def middles(self) -> Float[np.ndarray, " T"]:
        """Middle of each bin."""
        middle: np.ndarray = (self.edges[:-1] + self.edges[1:]) / 2
        return middle

    @property
    def begin(self) -> float:
        """Start of the first bin."""
        return float(self.edges[0])

    @property
    def end(self) -> float:
        """End of the last bin."""
        return float(self.edges[-1])


def time_axis(bins: int, bin_ms: float | None, first_bin_ms: float = 0.0, aligned_to: str | None = None) -> TimeAxis:
    """Time of as many bins, in ms from the event that trials are aligned to; in bins from the first where no width is known."""
    edges = (0.0 if bin_ms is None else first_bin_ms) + np.arange(bins + 1) * (bin_ms or 1.0)
    unit = "bins" if bin_ms is None else "ms"
    name = "" if aligned_to is None else aligned_to.replace("_", " ")
    since = f"from {name}" if name and bin_ms is not None else "in trial" if edges[0] == 0 else "from the start of the trial"
    inside = bin_ms is not None and edges[0] < 0 < edges[-1]
    return TimeAxis(edges=edges, label=f"time {since} ({unit})", unit=unit, event=0.0 if inside else None, name=name)


def time_of(session: Session, bins: int) -> TimeAxis:
    """Time of a session's first bins, as its file says."""
    return time_axis(bins, session.bin_ms, session.first_bin_ms, session.aligned_to)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What values per bin are multiplied by, and the unit that comes out."""

    factor: float = 1.0
    unit: str = "value"


def rate_scale(bin_ms: float | None, *, is_rate: bool, counts: bool, unit: str = "") -> Scale:
    """Spikes or other events per second where values are expected numbers of these and bins have a width; ``unit`` is the data's own, if known."""
    if not is_rate:
        return Scale(unit=unit or "unit of the data")
    what = "spikes" if counts else "events"
    return Scale(unit=f"rate ({what}/bin)") if bin_ms is None else Scale(factor=1000.0 / bin_ms, unit=f"rate ({what}/s)")


def spread_out(count: int, most: int) -> Int[np.ndarray, " n"]:
    """At most ``most`` of the numbers 0..count-1, evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, dtype=int)
