"""Axes in units people think in: milliseconds and spikes per second where the bin width is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lfads_core.data.session import Session


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeAxis:
    """Time within a trial, as figures and the report show it."""

    edges: Float[np.ndarray, " edges"]  # of the bins, one more than these
    label: str
    unit: str  # ms or bins
    event: float | None = None  # where trials are aligned to, if that is within them

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
    since = f"from {aligned_to}" if aligned_to is not None and bin_ms is not None else "in trial" if edges[0] == 0 else "from the start of the trial"
    inside = bin_ms is not None and edges[0] < 0 < edges[-1]
    return TimeAxis(edges=edges, label=f"time {since} ({unit})", unit=unit, event=0.0 if inside else None)


def time_of(session: Session, bins: int) -> TimeAxis:
    """Time of a session's first bins, as its file says."""
    return time_axis(bins, session.bin_ms, session.first_bin_ms, session.aligned_to)


def rate_unit(bin_ms: float | None, is_rate: bool) -> tuple[float, str]:
    """Factor on expected values per bin, and its unit: spikes/s where that makes sense."""
    if not is_rate:
        return 1.0, "mean"
    return (1.0, "rate (spikes/bin)") if bin_ms is None else (1000.0 / bin_ms, "rate (spikes/s)")


def spread_out(count: int, most: int) -> Int[np.ndarray, " n"]:
    """At most ``most`` of the numbers 0..count-1, evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, dtype=int)
