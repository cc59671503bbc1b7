"""Gaussian kernels over bins, and the widths that are tried."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

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
    values = np.asarray(data, dtype=np.float64)
    distance = np.abs(np.subtract.outer(np.arange(values.shape[1]), np.arange(values.shape[1])))
    kernel = np.exp(-0.5 * (distance / width) ** 2) * (distance <= np.ceil(4 * width)) * (distance > 0)
    seen = ~np.isnan(values)
    weight = kernel @ seen.astype(np.float64)
    total = kernel @ np.where(seen, values, 0.0)
    average: np.ndarray = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return average
