"""A recording before it is cut into trials of equal bins: events or samples in continuous time, a table of trials, signals beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from lfads_core.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A signal sampled in time, such as the position of a hand."""

    times: Num[np.ndarray, " S"]  # rising
    values: Float[np.ndarray, "S K"]  # NaN: not known
    unit: str = ""  # such as m/s, where the source says
    names: tuple[str, ...] = ()  # of the dimensions, where the source says
    binned: bool = False  # each sample stands for one of the signal's bins, at its middle


@dataclass(frozen=True, kw_only=True, eq=False)
class Signal:
    """All channels in bins of one width, without a gap, from ``start`` on."""

    values: Float[np.ndarray, "S N"]
    bin_ms: float  # NaN: the source does not say
    start: float = 0.0  # s

    def first(self, starts: Float[np.ndarray, " B"]) -> Int[np.ndarray, " B"]:
        """The sample that begins nearest to each of ``starts`` (s)."""
        nearest: np.ndarray = np.rint((starts - self.start) / (self.bin_ms / 1000)).astype(np.int64)
        return nearest


@dataclass(frozen=True, kw_only=True, eq=False)
class Trials:
    """One row for each trial."""

    start: Num[np.ndarray, " B"]  # NaN: not known
    stop: Num[np.ndarray, " B"]  # NaN: not known
    columns: Mapping[str, Shaped[np.ndarray, " B"]] = field(default_factory=dict)  # events, conditions, anything else
    origin: float = 0.0  # what has been taken off start and stop, but not off the columns


@dataclass(frozen=True, kw_only=True, eq=False)
class Raw:
    """One recording in continuous time; all times in seconds unless ``unit_s`` says what one unit of time is worth."""

    where: str  # beginning of a message about it
    units: Mapping[str, Num[np.ndarray, " _"]] = field(default_factory=dict)  # times of events by name; integers if float64 cannot hold them
    signal: Signal | None = None  # samples instead of events
    names: tuple[str, ...] = ()  # of the signal's channels
    trials: Trials | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    observed: Mapping[str, Float[np.ndarray, "_ 2"]] = field(default_factory=dict)  # by channel: from when to when it was recorded; absent: always
    about: Mapping[str, Shaped[np.ndarray, " N"]] = field(default_factory=dict)  # what is known of each channel, such as its electrode
    one_clock: bool = True  # False: trials were put one after another, and times in their columns count from the start of each
    origin: float = 0.0  # what has been taken off all times, in their unit; see :func:`lfads_plugins_lab.recordings.clock.near_zero`
    notes: tuple[str, ...] = ()  # what the reader has to say

    @property
    def channels(self) -> tuple[str, ...]:
        """Names in the order of the data."""
        return self.names if self.signal is not None else tuple(self.units)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """A recording that comes in trials of equal bins already."""

    where: str
    values: Float[np.ndarray, "B T N"]  # NaN: not observed
    bin_ms: float | None
    names: tuple[str, ...]
    per_trial: Mapping[str, Shaped[np.ndarray, "B ..."]] = field(default_factory=dict)
    about: Mapping[str, Shaped[np.ndarray, " N"]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what the reader has to say


@dataclass(frozen=True, kw_only=True, eq=False)
class Uneven:
    """A recording that comes in trials of unequal length, each in bins of one width from its own start on."""

    where: str
    values: tuple[Float[np.ndarray, "_ N"], ...]  # a trial each; NaN: not observed
    bin_ms: float | None
    names: tuple[str, ...]
    columns: Mapping[str, Shaped[np.ndarray, " B"]] = field(default_factory=dict)  # events (times from the start), conditions, anything else
    series: Mapping[str, tuple[Float[np.ndarray, "_ K"], ...]] = field(default_factory=dict)  # signals in the same bins
    about: Mapping[str, Shaped[np.ndarray, " N"]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def tidy_times(where: str, what: str, times: Float[np.ndarray, " _"]) -> tuple[Float[np.ndarray, " _"], int]:
    """Times in rising order, and how often they went back before.

    Raises:
        DataError: a time is NaN or infinite.
    """
    bad = int((~np.isfinite(times)).sum())
    if bad:
        raise DataError(f"{where}: times of {what} must be finite, got NaN or infinite for {bad} of {times.size}. Leave these rows out.")
    back = int((np.diff(times) < 0).sum())
    return (np.sort(times) if back else times), back


def check_series(where: str, name: str, series: Series) -> str | None:
    """A sentence about a series that seems to be sampled at several rates.

    Raises:
        DataError: its times do not rise, or there is none.
    """
    if series.times.size == 0:
        raise DataError(f"{where}: '{name}' must have samples, got none. Fill it, or leave it out.")
    bad = int((~np.isfinite(series.times)).sum())
    if bad:
        raise DataError(f"{where}: times of '{name}' must be finite, got NaN or infinite for {bad} of {series.times.size}. Leave these samples out.")
    steps = np.diff(series.times)
    if (steps <= 0).any():
        first = int(np.flatnonzero(steps <= 0)[0])
        raise DataError(
            f"{where}: times of '{name}' must rise from sample to sample, got {series.times[first]:g} and then {series.times[first + 1]:g} "
            f"(samples {first} and {first + 1}). Sort them and keep one of each."
        )
    if steps.size and _odd(steps).mean() > 0.1:
        low, high = np.percentile(steps, [5, 95]) * 1000
        return (
            f"'{name}' is sampled unevenly, {low:.3g} to {high:.3g} ms apart: two sampling rates in one series? "
            "Each bin takes the mean of its samples; check the times."
        )
    return None


def _odd(steps: Float[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
    """Steps that differ by more than a fifth from the usual one."""
    usual = float(np.median(steps))
    odd: np.ndarray = np.abs(steps - usual) > 0.2 * usual
    return odd
