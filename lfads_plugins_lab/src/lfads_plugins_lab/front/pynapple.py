"""A run's arrays as objects of pynapple."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfads_core.errors import LfadsError
from lfads_core.front.trained import TrainedRun
from lfads_plugins_lab.front.on_clock import on_clock


def to_pynapple(run: TrainedRun) -> dict[str, Any]:
    """``rates``, ``factors`` and ``inputs`` as ``TsdFrame``, ``trials`` as ``IntervalSet`` with what is known of each.

    Raises:
        LfadsError: pynapple is not installed.
        DataError: it is not known when trials began, or they share time.
    """
    try:
        import pynapple as nap
    except ImportError as err:
        raise LfadsError("to_pynapple: pynapple must be installed, got none. Run: pip install pynapple") from err
    found = run.results
    laid = on_clock(found, str(run.path))
    about = {name: coord.values[laid.order] for name, coord in found.coords.items() if coord.dims == ("trial",)}
    about = {f"trial_{name}" if hasattr(nap.IntervalSet, str(name)) or name in ("start", "end") else str(name): of for name, of in about.items()}
    trials = nap.IntervalSet(start=laid.trials[:, 0], end=laid.trials[:, 1], metadata=about)
    names = {"rates": found["unit"].values, "factors": found["factor"].values, "inputs": found["input"].values if "input" in found.coords else []}
    frames = {
        name: nap.TsdFrame(t=laid.times, d=values, columns=np.asarray(names[name]), time_support=trials) for name, values in laid.values.items()
    }
    return {**frames, "trials": trials}
