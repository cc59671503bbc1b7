"""Signals beside the data: which come along, under which names, and what must be known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from lfads_core.data.make.options import MakeOptions
from lfads_core.data.make.raw import Raw, check_series
from lfads_core.data.make.resample import resample
from lfads_core.data.make.trialwise import safe_key
from lfads_core.data.make.windows import Windows, unknown
from lfads_core.errors import DataError

MEANT = ("truth", "behavior", "behaviour", "ext_input")
"""Signals that keep their meaning when a source has them under these names."""


def series_in_bins(
    raw: Raw, windows: Windows, options: MakeOptions, width: float, scale: float, say: Callable[[Any, str], None]
) -> dict[str, Float[np.ndarray, "B T _"]]:
    """Every series that is wanted, in the bins of the windows."""
    for name in (*options.behaviour, *options.external, *(options.series or ())):
        if name not in raw.series:
            raise DataError(unknown(raw.where, "a series must be in the recording", name, list(raw.series)))
    others = raw.series if options.series is None else options.series
    found: dict[str, np.ndarray] = {}
    for name in dict.fromkeys([*options.behaviour, *options.external, *others]):
        series = raw.series[name]
        if (text := check_series(raw.where, name, series)) is not None:
            say("warning", text)
        in_seconds = replace(series, times=series.times * scale)
        found[name] = resample(in_seconds, windows.starts, windows.bins, width, options.max_gap_ms / 1000)
        missing = int(np.isnan(found[name]).any(axis=-1).sum())
        if missing == found[name][..., 0].size:
            raise DataError(
                f"{raw.where}: '{name}' must be known in some bin, got none: its samples run from {in_seconds.times[0]:g} to "
                f"{in_seconds.times[-1]:g} s, the windows from {windows.starts.min():g} to {windows.starts.max() + windows.bins * width:g} s. "
                "Are their clocks the same?"
            )
        if missing and name not in options.external:
            say("info", f"'{name}' is not known in {missing} of {found[name][..., 0].size} bins: NaN there, and left out of decoding.")
    return with_meanings(raw.where, found, options)


def with_meanings(where: str, found: Mapping[str, np.ndarray], options: MakeOptions) -> dict[str, np.ndarray]:
    """Behaviour and external input side by side under their keys, everything else under its own name.

    Raises:
        DataError: a series is not there, or an external input is not known in every bin.
    """
    for name in (*options.behaviour, *options.external):
        if name not in found:
            raise DataError(unknown(where, "a series must be in the recording", name, list(found)))
    for name in options.external:
        missing = int(np.isnan(found[name]).any(axis=-1).sum())
        if missing:
            raise DataError(
                f"{where}: the external input '{name}' must be known in every bin, got NaN in {missing} of {found[name][..., 0].size}. "
                "Fill its gaps, or allow longer ones (--max-gap)."
            )
    taken = {*options.behaviour, *options.external}
    named = {(name if name in MEANT else safe_key(name)): values for name, values in found.items() if name not in taken}
    for key, names in (("behavior", options.behaviour), ("ext_input", options.external)):
        if names:
            named[key] = np.concatenate([found[name] for name in names], axis=-1)
    return named
