"""What was inferred, on the session's own clock: every bin of every trial one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from lfads_core.errors import DataError

ARRAYS = ("rates", "factors", "inputs")


@dataclass(frozen=True, kw_only=True, eq=False)
class OnClock:
    """Samples in rising order of time."""

    times: Float[np.ndarray, " S"]  # middle of each bin, s
    width_s: float
    trials: Float[np.ndarray, "B 2"]  # start and end of each trial's window, s, in the order of the samples
    order: Int[np.ndarray, " B"]  # rows of the trials in that order
    values: dict[str, Float[np.ndarray, "S K"]]


def on_clock(found: xr.Dataset, where: str) -> OnClock:
    """Lay the bins of all trials on the session's clock; windows that overlap, as ``lfads data chop`` makes them, are refused.

    Raises:
        DataError: the width of bins or the start of trials is not known, or trials share time.
    """
    width = found.attrs.get("bin_ms")
    if width is None:
        raise DataError(
            f"{where}: the width of a bin must be known to lay bins on a clock, got no 'bin_ms'. Say it, such as: lfads data set FILE bin_ms=10"
        )
    if "start_s" not in found.coords:
        raise DataError(
            f"{where}: the start of each trial on the session's clock must be known, got no 'start_s'. Recordings made by `lfads data make` have it; "
            "of arrays give it: Recording.from_arrays(..., trials={'start_s': ...})."
        )
    starts, bins = np.asarray(found["start_s"].values, dtype=np.float64), found.sizes["time"]
    order = np.argsort(starts, kind="stable")
    width_s = float(width) / 1000
    ends = starts + bins * width_s
    shared = np.flatnonzero(starts[order][1:] < ends[order][:-1] - 1e-6 * width_s)
    if shared.size:
        one, two = found["trial"].values[order[shared[0]]], found["trial"].values[order[shared[0] + 1]]
        raise DataError(
            f"{where}: trials must not share time on one clock, got {shared.size} that do, the first {one} and {two}. Put windows together again "
            "with `lfads data merge`, or cut trials that do not overlap."
        )
    times = (starts[order][:, None] + (np.arange(bins) + 0.5) * width_s).ravel()
    values = {name: found[name].values[order].reshape(times.size, -1) for name in ARRAYS if name in found and found[name].size}
    return OnClock(times=times, width_s=width_s, trials=np.stack([starts[order], ends[order]], axis=1), order=order, values=values)
