"""Signals beside the data: which come along, under which names, and what must be known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import MakeOptions
from lfads_plugins_lab.recordings.raw import Raw, Series, check_series
from lfads_plugins_lab.recordings.resample import resample
from lfads_plugins_lab.recordings.trialwise import safe_key
from lfads_plugins_lab.recordings.windows import Windows, unknown

MEANT = ("truth", "behavior", "behaviour", "ext_input")
"""Signals that keep their meaning when a source has them under these names."""

FEW_KNOWN = 0.05
"""Share of bins in which behaviour must be known; less is another clock, or another unit of time."""


def series_in_bins(
    raw: Raw, windows: Windows, options: MakeOptions, width: float, scale: float, say: Callable[[Any, str], None]
) -> dict[str, Float[np.ndarray, "B T _"]]:
    """Every series that is wanted, in the bins of the windows."""
    for name in (*options.behaviour, *options.external, *(options.series or ()), *options.circular):
        if name not in raw.series:
            raise DataError(unknown(raw.where, "a series must be in the recording", name, list(raw.series)))
    others = raw.series if options.series is None else options.series
    asked = {*options.behaviour, *options.external, *(options.series or ())}
    found: dict[str, np.ndarray] = {}
    for name in dict.fromkeys([*options.behaviour, *options.external, *others]):
        try:
            found[name] = _in_bins(raw, name, windows, options, width, scale, say)
        except DataError as err:
            if name in asked:
                raise
            say("warning", f"left out: {str(err).removeprefix(f'{raw.where}: ')}")
    return with_meanings(raw.where, found, options)


def _in_bins(
    raw: Raw, name: str, windows: Windows, options: MakeOptions, width: float, scale: float, say: Callable[[Any, str], None]
) -> Float[np.ndarray, "B T _"]:
    series = raw.series[name]
    if (text := check_series(raw.where, name, series)) is not None:
        say("warning", text)
    period = period_of(raw.where, name, series) if name in options.circular else None
    if period is None and (round_by := goes_round(series)) is not None:
        say(
            "warning",
            f"'{name}' goes round every {round_by:g}: where it jumps back, bins get values in between. If it is an angle, say --circular {name}.",
        )
    in_seconds = replace(series, times=series.times * scale)
    starts = windows.starts
    if series.binned and raw.signal is not None:  # windows of the data begin on its bins
        starts = raw.signal.start + raw.signal.first(starts) * (raw.signal.bin_ms / 1000)
    values = resample(in_seconds, starts, windows.bins, width, options.max_gap_ms / 1000, period=period)
    missing, every = int(np.isnan(values).any(axis=-1).sum()), values[..., 0].size
    zero = raw.origin * scale
    spans = (
        f"its samples run from {in_seconds.times[0] + zero:g} to {in_seconds.times[-1] + zero:g} s, the windows from "
        f"{windows.starts.min() + zero:g} to {windows.starts.max() + zero + windows.bins * width:g} s. Are their clocks and units the same?"
    )
    if missing == every or (name in options.behaviour and every - missing < FEW_KNOWN * every):
        much = "some bin, got none" if missing == every else f"at least {FEW_KNOWN:.0%} of the bins, got {every - missing} of {every}"
        raise DataError(f"{raw.where}: '{name}' must be known in {much}: {spans}")
    if missing and name not in options.external:
        odd = 2 * missing > every
        text = f"'{name}' is not known in {missing} of {every} bins: NaN there, and left out of decoding"
        say("warning" if odd else "info", f"{text}; {spans}" if odd else f"{text}.")
    return values


PERIODS = (2 * math.pi, 360.0)
"""Of angles, in radians and in degrees."""


def period_of(where: str, name: str, series: Series) -> float:
    """After what a series that is an angle comes back to itself: by its unit, else by its range.

    Raises:
        DataError: neither tells.
    """
    for word, period in (("rad", PERIODS[0]), ("deg", PERIODS[1]), ("°", PERIODS[1])):
        if word in series.unit.lower():
            return period
    span = float(np.nanmax(series.values) - np.nanmin(series.values))
    found = next((period for period in PERIODS if span <= 1.001 * period), None)
    if found is None:
        raise DataError(f"{where}: '{name}' must be an angle in radians or degrees to be circular, got values {span:g} apart. Leave --circular out.")
    return found


def goes_round(series: Series) -> float | None:
    """The period of a series that fills the range of an angle and jumps from one end of it to the other."""
    for values in series.values.T:
        seen = values[np.isfinite(values)]
        for period in PERIODS:
            if seen.size > 1 and 0.9 * period <= np.ptp(seen) <= 1.001 * period and (np.abs(np.diff(seen)) > 0.8 * period).any():
                return period
    return None


def dimensions_of(series: Mapping[str, Series], behaviour: Sequence[str]) -> dict[str, Shaped[np.ndarray, " K"]]:
    """Name and unit of each dimension of the behaviour, in the order of ``behavior``; nothing without behaviour."""
    names, units = [], []
    for name in behaviour:
        width = series[name].values.shape[1]
        own = series[name].names or tuple(map(str, range(width)))
        names += [name] if width == 1 else [f"{name} {each}" for each in own]
        units += [series[name].unit] * width
    if not names:
        return {}
    return {"behavior_dimensions": np.array(names, dtype=object), "behavior_dimension_units": np.array(units, dtype=object)}


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
