"""Gaussian smoothing over time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real


def smooth(data: Real[np.ndarray, "B T N"], width: float, *, itself: bool = True) -> Float[np.ndarray, "B T N"]:
    """Convolve each trial with a Gaussian of this standard deviation in bins; what lies beyond the ends or is NaN has no weight.

    0 changes nothing. A bin with nothing observed within four standard deviations stays NaN. Without ``itself`` a bin's own value has no weight
    either, and bins without observed neighbours are NaN.
    """
    values = np.asarray(data, dtype=np.float64)
    if width == 0 and itself:
        return values
    distance = np.abs(np.subtract.outer(np.arange(values.shape[1]), np.arange(values.shape[1])))
    kernel = np.exp(-0.5 * (distance / width) ** 2) * (distance <= np.ceil(4 * width)) * (itself | (distance > 0))
    seen = ~np.isnan(values)
    weight = kernel @ seen
    total = kernel @ np.where(seen, values, 0.0)
    smoothed: np.ndarray = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return smoothed
