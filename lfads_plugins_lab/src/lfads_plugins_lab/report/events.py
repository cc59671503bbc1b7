"""Moments within trials that a file names."""

from __future__ import annotations

import numpy as np

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_std.alignment.condition_names import texts

MOST = 3


def events_of(session: Recorded, split: str, length: float) -> dict[str, np.ndarray]:
    """Arrays (trials) whose name ends in ``_ms``, as times from the start of the trial; those that mostly lie outside of it are none.

    Where a file lists ``event_names``, as `lfads data make` does, these alone are events.
    """
    found: dict[str, np.ndarray] = {}
    if session.session.bin_ms is None:
        return found
    extras, names = session.session.splits[split].extras, session.session.arrays.get("event_names")
    for key in extras if names is None else [f"{name}_ms" for name in texts(names)]:
        values = extras.get(key)
        if values is not None and key.endswith("_ms") and values.ndim == 1 and values.dtype.kind in "iuf":
            moments = values.astype(np.float64)
            if ((moments >= 0) & (moments < length)).mean() > 0.5 and len(found) < MOST:
                found[key.removesuffix("_ms").replace("_", " ")] = moments
    return found
