"""Values of every channel in every bin of every window, from events or from samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lfads_core.data.make.counts import bin_events, observed_bins, rebin, widening
from lfads_core.data.make.options import Reduce
from lfads_core.data.make.raw import Raw, Signal, tidy_times
from lfads_core.data.make.windows import Windows


def cut_values(
    raw: Raw, windows: Windows, bin_ms: float, scale: float, reduce: Reduce, say: Callable[[Any, str], None]
) -> Float[np.ndarray, "B T N"]:
    """Counts of events, or sums or means of samples; NaN where a channel was not recorded.

    Raises:
        DataError: a time is not finite, or bins are no multiple of the signal's.
    """
    if raw.signal is not None:
        return _samples(raw.signal, windows, widening(raw.signal.bin_ms, bin_ms, raw.where), reduce)
    width = bin_ms / 1000
    values = np.empty((len(windows.starts), windows.bins, len(raw.units)))
    negative = inside = total = 0
    known: dict[bytes, Bool[np.ndarray, "B T"]] = {}
    for n, (name, times) in enumerate(raw.units.items()):
        tidy, text = tidy_times(raw.where, f"channel {name}", times)
        if text is not None:
            say("warning", text)
        values[:, :, n] = bin_events(tidy * scale, windows.starts, windows.bins, width)
        negative, total, inside = negative + int((tidy < 0).sum()), total + tidy.size, inside + int(values[:, :, n].sum())
        if name in raw.observed:
            key = raw.observed[name].tobytes()  # channels of one probe share their intervals
            if key not in known:
                known[key] = observed_bins(raw.observed[name] * scale, windows.starts, windows.bins, width)
            values[:, :, n] = np.where(known[key], values[:, :, n], np.nan)
    if negative:
        say("warning", f"{negative} of {total} event times are negative. They are taken as they are; does the clock of the trials begin there too?")
    if total and not inside:
        say("warning", f"none of {total} events lies in any window. Are the clocks of events and trials the same?")
    return values


def _samples(signal: Signal, windows: Windows, factor: int, reduce: Reduce) -> Float[np.ndarray, "B T N"]:
    """Windows begin at the sample nearest to where they should."""
    first = np.rint((windows.starts - signal.start) / (signal.bin_ms / 1000)).astype(np.int64)
    at = first[:, None] + np.arange(windows.bins * factor)
    there = (at >= 0) & (at < len(signal.values))
    values = np.where(there[..., None], signal.values[at.clip(0, len(signal.values) - 1)], np.nan)
    return rebin(values, factor, reduce)
