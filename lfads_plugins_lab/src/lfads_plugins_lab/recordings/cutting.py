"""Values of every channel in every bin of every window, from events or from samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lfads_core.errors import DataError
from lfads_core.wording import first_few
from lfads_plugins_lab.recordings.counts import bin_events, observed_bins, rebin, widening
from lfads_plugins_lab.recordings.options import Reduce
from lfads_plugins_lab.recordings.raw import Raw, Signal, tidy_times
from lfads_plugins_lab.recordings.windows import Windows

NARROW_MS = 0.5
"""Narrower bins of events are taken for a mistake, such as seconds for milliseconds."""


def cut_values(
    raw: Raw, windows: Windows, bin_ms: float, scale: float, reduce: Reduce, say: Callable[[Any, str], None], resolution: float = 0.0
) -> Float[np.ndarray, "B T N"]:
    """Counts of events, or sums or means of samples; NaN where a channel was not recorded. ``resolution`` (s) is that of the clock.

    Raises:
        DataError: a time is not finite, no event lies in a window, or bins are no multiple of the signal's.
    """
    if raw.signal is not None:
        return _samples(raw.where, raw.signal, windows, widening(raw.signal.bin_ms, bin_ms, raw.where), reduce)
    width = bin_ms / 1000
    values = np.empty((len(windows.starts), windows.bins, len(raw.units)))
    negative = inside = total = 0
    back: dict[str, int] = {}
    known: dict[bytes, Bool[np.ndarray, "B T"]] = {}
    for n, (name, times) in enumerate(raw.units.items()):
        tidy, steps = tidy_times(raw.where, f"channel {name}", times)
        if steps:
            back[name] = steps
        values[:, :, n] = bin_events(tidy * scale, windows.starts, windows.bins, width, resolution)
        negative, total, inside = negative + int((tidy + raw.origin < 0).sum()), total + tidy.size, inside + int(values[:, :, n].sum())
        if name in raw.observed:
            key = raw.observed[name].tobytes()  # channels of one probe share their intervals
            if key not in known:
                known[key] = observed_bins(raw.observed[name] * scale, windows.starts, windows.bins, width)
            values[:, :, n] = np.where(known[key], values[:, :, n], np.nan)
    if bin_ms < NARROW_MS:
        say("warning", f"bins of {bin_ms:g} ms are narrower than a spike. Is their width in ms?")
    if back:
        say("warning", f"times of {few(list(back))} go back {sum(back.values())} times; they were sorted.")
    if negative:
        say("warning", f"{negative} of {total} event times are negative. They are taken as they are; does the clock of the trials begin there too?")
    if total and not inside:
        raise DataError(_nothing(raw, windows, scale, total))
    return values


def few(names: Sequence[str], most: int = 10) -> str:
    """Channels by name, the first ones where there are many."""
    return f"{'channel' if len(names) == 1 else 'channels'} {first_few(names, most)}"


def _nothing(raw: Raw, windows: Windows, scale: float, total: int) -> str:
    times = (np.concatenate([t for t in raw.units.values() if t.size]) + raw.origin) * scale
    begin, end = windows.starts.min() + raw.origin * scale, windows.starts.max() + raw.origin * scale
    return (
        f"{raw.where}: events must lie in some window, got none of {total}: they run from {times.min():.6g} to {times.max():.6g} s, the windows "
        f"begin from {begin:.6g} to {end:.6g} s. Bring events and trials to one clock and one unit."
    )


def _samples(where: str, signal: Signal, windows: Windows, factor: int, reduce: Reduce) -> Float[np.ndarray, "B T N"]:
    """Windows begin at the sample nearest to where they should."""
    at = signal.first(windows.starts)[:, None] + np.arange(windows.bins * factor)
    there = (at >= 0) & (at < len(signal.values))
    if not there.any():
        end = signal.start + len(signal.values) * signal.bin_ms / 1000
        raise DataError(
            f"{where}: some window must lie in the recording, got none: it runs from {signal.start:.6g} to {end:.6g} s, the windows begin from "
            f"{windows.starts.min():.6g} to {windows.starts.max():.6g} s. Bring the trials to its clock and unit (--time-unit)."
        )
    values = np.where(there[..., None], signal.values[at.clip(0, len(signal.values) - 1)], np.nan)
    return rebin(values, factor, reduce)
