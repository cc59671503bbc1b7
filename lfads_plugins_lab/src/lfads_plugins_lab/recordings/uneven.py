"""Trials of unequal length, one after another with nothing observed between them, so that windows are cut as from any long recording."""

from __future__ import annotations

import math

import numpy as np

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import CLOCKS, MakeOptions
from lfads_plugins_lab.recordings.raw import Raw, Series, Signal, Trials, Uneven


def in_a_row(uneven: Uneven, options: MakeOptions) -> Raw:
    """The trials with so much room between them that a window reaches no other one; what lies beyond a trial is not observed (NaN).

    Raises:
        DataError: the width of a bin is not known.
    """
    bin_ms = uneven.bin_ms or options.bin_ms
    if bin_ms is None:
        raise DataError(f"{uneven.where}: the width of a bin must be known, got no 'bin_ms'. Give it with --bin.")
    width, window = bin_ms / 1000, options.window
    reach = abs(window.before_ms) + abs(window.after_ms or 0.0) + window.jitter_ms + (window.chop_ms or 0.0) + (options.bin_ms or bin_ms)
    reach = max(reach, options.max_gap_ms)  # no signal runs from one trial into the next
    lengths = np.array([len(trial) for trial in uneven.values])
    events = [values[np.isfinite(values)] for values in uneven.columns.values() if values.dtype.kind in "iuf"] if window.event is not None else []
    farthest = max((float(np.abs(values).max()) for values in events if values.size), default=0.0) * CLOCKS[options.clock or "s"] / width
    room = math.ceil(reach / bin_ms) + 1 + min(math.ceil(farthest), int(2 * lengths.max()))  # windows farther away are refused
    gap = np.full((room, uneven.values[0].shape[1]), np.nan)
    starts = room + np.concatenate([[0], np.cumsum(lengths[:-1] + room)])
    values = np.concatenate([gap, *(part for trial in uneven.values for part in (trial, gap))])
    unit = CLOCKS[options.clock or "s"]
    middles = np.concatenate([(start + np.arange(length) + 0.5) * width for start, length in zip(starts, lengths, strict=True)])
    return Raw(
        where=uneven.where,
        signal=Signal(values=values, bin_ms=bin_ms),
        names=uneven.names,
        trials=Trials(start=starts * width / unit, stop=(starts + lengths) * width / unit, columns=uneven.columns),
        series={name: Series(times=middles / unit, values=np.concatenate(trials), binned=True) for name, trials in uneven.series.items()},
        about=uneven.about,
        one_clock=False,
        notes=uneven.notes,
    )
