"""Gaussian kernels over bins, and the widths that are tried."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Real

from lfads_plugins_std.metrics.smooth import smooth

WIDTHS_MS = (10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 250.0, 400.0)
"""Standard deviations that are tried, in milliseconds."""

WIDTHS_BINS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
"""The same in bins, where their width is not known."""

FLOORS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of a channel's mean that are mixed into its predictions; the best on training trials is taken."""


def widths(bin_ms: float | None, bins: int) -> list[float]:
    """Widths in bins that make sense in trials of so many bins; at least one."""
    candidates = WIDTHS_BINS if bin_ms is None else tuple(ms / bin_ms for ms in WIDTHS_MS)
    sensible = [width for width in candidates if 0.5 <= width <= bins / 2]
    return sensible or [max(0.5, bins / 4)]


def neighbours(data: Real[np.ndarray, "B T N"], width: float) -> Float[np.ndarray, "B T N"]:
    """Gaussian average of each bin's neighbours without the bin itself; NaN where none was observed."""
    return smooth(data, width, itself=False)


def filled(values: Float[np.ndarray, "B T N"], means: Float[np.ndarray, " N"]) -> Float[np.ndarray, "B T N"]:
    """Bins with nothing near them get the channel's mean."""
    found: np.ndarray = np.where(np.isnan(values), np.nan_to_num(means), values)
    return found


def smoother(width: float, means: Float[np.ndarray, " N"]) -> Callable[[np.ndarray], np.ndarray]:
    """Smooths data; bins with nothing near them get the channel's mean."""
    return lambda data: filled(smooth(data, width), means)
