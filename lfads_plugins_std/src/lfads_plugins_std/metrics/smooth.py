"""Gaussian smoothing over time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real


def smooth(data: Real[np.ndarray, "B T N"], width: float) -> Float[np.ndarray, "B T N"]:
    """Convolve each trial with a Gaussian of this standard deviation in bins; what lies beyond the ends or is NaN has no weight.

    0 changes nothing. A bin with nothing observed within four standard deviations stays NaN.
    """
    values = np.asarray(data, dtype=np.float64)
    if width == 0:
        return values
    distance = np.arange(values.shape[1])
    kernel = np.exp(-0.5 * ((distance[:, None] - distance) / width) ** 2) * (np.abs(distance[:, None] - distance) <= np.ceil(4 * width))
    seen = ~np.isnan(values)
    weight = kernel @ seen.astype(np.float64)
    total = kernel @ np.where(seen, values, 0.0)
    smoothed: np.ndarray = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return smoothed
