"""Averages over whole recordings, some trials at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from lfads_core.data.rows import row_blocks


def observed_means(values: Real[np.ndarray, "B T N"]) -> Float[np.ndarray, " N"]:
    """Mean of each channel over what was observed (not NaN), in float64; a channel that never was gives 0.

    Sums run from bin to bin, in the order in which NumPy adds up the whole array, so the result has the same bits; but only a block
    of trials is copied. One channel alone is a single row to NumPy, which adds it up by halves, and is copied whole.
    """
    trials, _, channels = values.shape
    by_bin = values.flags.c_contiguous and channels > 1
    total, count = np.zeros(channels), np.zeros(channels, dtype=np.int64)
    for rows in row_blocks(values.shape, total.itemsize) if by_bin else (slice(0, trials),):
        block = values[rows]
        seen = ~np.isnan(block)
        known = np.where(seen, block, 0.0)
        count += seen.sum(axis=(0, 1))
        if rows.start:
            known = np.concatenate([total[None], known.reshape(-1, channels).astype(np.float64)])[None]
        total = known.sum(axis=(0, 1), dtype=np.float64)
    means: np.ndarray = total / np.maximum(count, 1)
    return means
