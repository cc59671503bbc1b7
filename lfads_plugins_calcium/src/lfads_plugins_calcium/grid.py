"""From frames, scanned row by row, to a grid of bins finer than frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from lfads_core.errors import DataError


def scan_bins(scan_ms: Float[np.ndarray, " N"], frame_ms: float, fine_bins: int) -> Int[np.ndarray, " N"]:
    """The bin within a frame, of ``fine_bins`` equal ones, in which each cell is scanned, from its time after the frame's start.

    Raises:
        DataError: a time outside the frame.
    """
    if not ((scan_ms >= 0) & (scan_ms < frame_ms)).all():
        raise DataError(
            f"scan times: must be >= 0 and below the frame time {frame_ms:g} ms, got {scan_ms.min():g} to {scan_ms.max():g}. "
            "Give milliseconds after the start of the frame."
        )
    return np.minimum((scan_ms * fine_bins / frame_ms).astype(np.int64), fine_bins - 1)


def on_fine_grid(events: Float[np.ndarray, "B K N"], scan: Int[np.ndarray, " n"], fine_bins: int) -> Float[np.ndarray, "B T N"]:
    """Events by frame in the bin where each cell was scanned, ``frame * fine_bins + scan``; NaN in all others.

    Raises:
        DataError: a bin outside the frame, or not one per cell.
    """
    trials, frames, channels = events.shape
    if len(scan) != channels or not ((scan >= 0) & (scan < fine_bins)).all():
        raise DataError(f"fine grid: needs a bin from 0 to {fine_bins - 1} for each of {channels} cells, got {scan.tolist()}.")
    fine = np.full((trials, frames, fine_bins, channels), np.nan)
    fine[:, :, scan, np.arange(channels)] = events
    return fine.reshape(trials, frames * fine_bins, channels)
