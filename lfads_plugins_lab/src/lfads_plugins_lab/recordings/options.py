"""What the user decides when a recording is cut: bins, windows, splits, channels held out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lfads_core.errors import ConfigError

CLOCKS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Units of time, in seconds."""

SplitBy = Literal["random", "every", "last", "column"]
Unobserved = Literal["drop", "nan"]
Beyond = Literal["keep", "drop", "nan"]
Overlaps = Literal["refuse", "keep"]
Reduce = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Which part of each trial is taken; with ``chop_ms`` windows of that length, whatever the trials are."""

    event: str | None = None  # column of the trials with the time to align to; None: the start
    from_start: bool = False  # the event's times count from the start of each trial
    before_ms: float = 0.0
    after_ms: float | None = None  # None: as long as the shortest trial lasts
    jitter_ms: float = 0.0  # by up to which each window is moved at random, in whole bins; ``jitter`` says by how many
    jitter_seed: int = 0
    beyond: Beyond = "keep"  # bins of a window that lie outside its trial: keep them, drop the trial, or make them NaN
    overlaps: Overlaps = "refuse"  # windows of different trials that share time
    chop_ms: float | None = None  # length of each window
    overlap_ms: float = 0.0  # that two neighbours share


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which trials are for training, validation and testing."""

    by: SplitBy = "random"
    valid: float = 0.2  # share of trials, for "random" and "last"
    test: float = 0.0
    every: int = 5  # each such trial is for validation
    column: str = "split"  # of the trials, holding train, valid (val) or test
    seed: int = 0
    stratify: bool = True  # the same share of every condition


@dataclass(frozen=True, kw_only=True)
class HoldOutOptions:
    """What the encoders do not see."""

    fraction: float = 0.0  # of the channels, by the rule of :func:`lfads_core.data.hold_out.pick_channels`
    seed: int = 0
    channels: tuple[str, ...] = ()  # names, instead of a fraction
    column: str | None = None  # what is known of each channel, true for those held out
    forward_ms: float = 0.0  # end of each trial that is to be predicted


@dataclass(frozen=True, kw_only=True)
class MakeOptions:
    """Everything, with the defaults of the command ``lfads data make``."""

    bin_ms: float | None = None  # None: 10 ms for times, the source's own bins otherwise
    clock: str | None = None  # unit of all times in the source; None: s, and what looks like something else is refused
    window: WindowOptions = WindowOptions()
    split: SplitOptions = SplitOptions()
    hold_out: HoldOutOptions = HoldOutOptions()
    condition: tuple[str, ...] = ()  # columns whose combinations are conditions; (): the first of the usual names that is there
    behaviour: tuple[str, ...] = ()  # series that become ``behavior``, side by side, and are decoded as a score
    circular: tuple[str, ...] = ()  # series that are angles, and are averaged round the circle
    external: tuple[str, ...] = ()  # series that become ``ext_input``, what the model is told in every bin
    keep_units: str | None = None  # a condition on what is known of each channel, such as quality == 'good'
    keep_trials: str | None = None  # a condition on the columns of the trials, such as success
    series: tuple[str, ...] | None = None  # further series to carry along under their names; None: all
    min_rate_hz: float = 0.0  # channels with fewer events per second in the windows are left out
    unobserved: Unobserved = "drop"  # trials in which a channel was not recorded
    reduce: Reduce = "sum"  # how bins of samples become wider ones
    smooth_ms: float = 0.0  # of a Gaussian; the result is carried along as ``smoothed``
    max_gap_ms: float = 100.0  # up to which bins between two samples of a series are interpolated
    decode_within: str | None = None  # column of the trials: behaviour is decoded within the trials of each value, ``decode_mask``


LEAST_BIN_MS = 1e-6
"""No recording tells times apart that are less than a nanosecond from each other."""


def check_options(options: MakeOptions) -> None:
    """Refuse what contradicts itself.

    Raises:
        ConfigError: one line for each fault.
    """
    if found := list(_faults(options)):
        raise ConfigError("\n".join(found))


def _faults(o: MakeOptions) -> Iterator[str]:
    for name, value in _numbers(o):
        if not math.isfinite(value):
            yield f"{name}: must be a finite number, got {value!r}"
    if o.bin_ms is not None and not LEAST_BIN_MS <= o.bin_ms < float("inf"):
        yield f"bin_ms: must be at least {LEAST_BIN_MS:g}, got {o.bin_ms!r}"
    if o.clock is not None and o.clock not in CLOCKS:
        yield f"clock: must be one of {', '.join(CLOCKS)}, got {o.clock!r}"
    for name, value in (
        ("hold_out.forward_ms", o.hold_out.forward_ms),
        ("min_rate_hz", o.min_rate_hz),
        ("smooth_ms", o.smooth_ms),
        ("window.jitter_ms", o.window.jitter_ms),
    ):
        if value < 0:
            yield f"{name}: must be >= 0, got {value!r}"
    yield from _window_faults(o.window)
    yield from _split_faults(o.split)
    yield from _hold_out_faults(o.hold_out)


def _numbers(o: MakeOptions) -> Iterator[tuple[str, float]]:
    """Every number that a comparison would not refuse if it is none."""
    w = o.window
    yield from (
        ("window.before_ms", w.before_ms),
        ("window.jitter_ms", w.jitter_ms),
        ("window.overlap_ms", w.overlap_ms),
        ("hold_out.forward_ms", o.hold_out.forward_ms),
    )
    yield from (("min_rate_hz", o.min_rate_hz), ("smooth_ms", o.smooth_ms), ("max_gap_ms", o.max_gap_ms))
    yield from ((name, value) for name, value in (("window.after_ms", w.after_ms), ("window.chop_ms", w.chop_ms)) if value is not None)


def _window_faults(w: WindowOptions) -> Iterator[str]:
    if w.from_start and w.event is None:
        yield "window.from_start: is about the times of an event, got no event. Say which column holds it."
    if w.chop_ms is None:
        if w.overlap_ms:
            yield "window.overlap_ms: is of chopped windows, got no chop_ms. Say how long they are."
        if w.after_ms is not None and w.before_ms + w.after_ms <= 0:
            yield f"window: must end after it begins, got {w.before_ms:g} ms before and {w.after_ms:g} ms after the event"
        return
    if w.event is not None or w.before_ms or w.after_ms is not None:
        yield "window: chopping takes the whole recording, so it goes with no event, before_ms or after_ms. Give one or the other."
    if w.chop_ms <= 0:
        yield f"window.chop_ms: must be > 0, got {w.chop_ms!r}"
    elif not 0 <= w.overlap_ms < w.chop_ms:
        yield f"window.overlap_ms: must be >= 0 and less than the window of {w.chop_ms:g} ms, got {w.overlap_ms!r}"


def _split_faults(s: SplitOptions) -> Iterator[str]:
    if not (0 <= s.valid < 1 and 0 <= s.test < 1 and s.valid + s.test < 1):
        yield f"split: shares of validation and test must be >= 0 and leave trials for training, got {s.valid!r} and {s.test!r}"
    if s.by == "every" and s.every < 2:
        yield f"split.every: must be >= 2, got {s.every!r}"
    if s.by == "every" and s.test:
        yield "split.test: every n-th trial is for validation, so there is no test split; use the random one, or a column."


def _hold_out_faults(h: HoldOutOptions) -> Iterator[str]:
    if not 0 <= h.fraction < 1:
        yield f"hold_out.fraction: must be >= 0 and < 1, got {h.fraction!r}"
    if sum([h.fraction > 0, bool(h.channels), h.column is not None]) > 1:
        yield "hold_out: channels are held out by a fraction, by their names or by a column, got several of these. Give one."
