"""Moments within trials that a file names."""

from __future__ import annotations

import numpy as np

from lfads_core.evaluate.recorded import Recorded

MOST = 3


def events_of(session: Recorded, split: str, end: float) -> dict[str, np.ndarray]:
    """Arrays (trials) whose name ends in ``_ms``, as times from the start of the trial; those that mostly lie outside of it are none."""
    found: dict[str, np.ndarray] = {}
    if session.session.bin_ms is None:
        return found
    extras = session.session.splits[split].extras
    for key, values in extras.items():
        if key.endswith("_ms") and values.ndim == 1 and values.dtype.kind in "iuf":
            moments = values.astype(np.float64)
            if ((moments > 0) & (moments < end)).mean() > 0.5 and len(found) < MOST:
                found[key.removesuffix("_ms").replace("_", " ")] = moments
    return found
