"""Axes in units people think in: milliseconds and spikes per second where the bin width is known."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def time_axis(bins: int, bin_ms: float | None) -> tuple[Float[np.ndarray, " edges"], str]:
    """Edges of the bins from 0 on, ``bins + 1`` of them, and what to write at the axis."""
    return np.arange(bins + 1) * (bin_ms or 1.0), "bins" if bin_ms is None else "time (ms)"


def centres(edges: Float[np.ndarray, " edges"]) -> Float[np.ndarray, " T"]:
    """Middle of each bin."""
    middle: np.ndarray = (edges[:-1] + edges[1:]) / 2
    return middle


def rate_unit(bin_ms: float | None, is_rate: bool) -> tuple[float, str]:
    """Factor on expected values per bin, and its unit: spikes/s where that makes sense."""
    if not is_rate:
        return 1.0, "mean"
    return (1.0, "rate (spikes/bin)") if bin_ms is None else (1000.0 / bin_ms, "rate (spikes/s)")


def spread_out(count: int, most: int) -> Int[np.ndarray, " n"]:
    """At most ``most`` of the numbers 0..count-1, evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, dtype=int)
