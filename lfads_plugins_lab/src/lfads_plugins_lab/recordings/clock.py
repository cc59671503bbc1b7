"""Seconds or milliseconds: what times look like, before they are believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from lfads_core.data.checks import Problem
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import CLOCKS
from lfads_plugins_lab.recordings.raw import Raw

LONG_TRIAL_S, SHORT_TRIAL_S = 200.0, 0.01
"""Median trials longer or shorter than these are rare enough to be asked about."""
FEW_HZ, MANY_HZ = 0.05, 1000.0
"""The same for the mean rate of a channel, over the time from the first to the last event."""
_FINE_S = 1e-9
SHARE = 0.01
"""Of a bin: what a clock must at least tell apart."""
MANY_TIMES = 300.0
"""How much farther than trials events may reach, or trials than events."""


def seconds_per_unit(raw: Raw, clock: str | None) -> tuple[float, list[Problem]]:
    """Seconds in one unit of the recording's times; ``clock`` is what the user says.

    Raises:
        DataError: the user says nothing, and the times do not look like seconds; or events and trials are in different units.
    """
    said = CLOCKS[clock or "s"]
    text, apart = _odd(raw, said), _apart(raw)
    if apart is not None and (text is not None or (clock is None and any(unit / 2 < apart[0] < 2 * unit for unit in (1e3, 1e6, 1e9)))):
        raise DataError(f"{raw.where}: {apart[1]}")
    if text is None:
        return said, []
    if clock is None:
        raise DataError(f"{raw.where}: {text} {_remedy(raw)}")
    return said, [Problem(severity="warning", text=f"{text} They are taken as {clock}, as you say.")]


def near_zero(raw: Raw, scale: float) -> Raw:
    """The recording with its times counted from near its beginning, where they are so large that their differences lose digits.

    Taking a whole number off does not round: from then on sums and products are as exact as for a recording that begins at zero.
    """
    known = [t for t in _all_times(raw) if t.size and np.isfinite(t).any()]
    largest = max((float(np.nanmax(np.abs(t[np.isfinite(t)]))) for t in known), default=0.0)
    if np.spacing(largest) * scale <= _FINE_S:
        return raw
    origin = min(_first(t) for t in known)

    def moved(times: np.ndarray) -> np.ndarray:
        return (times - origin).astype(np.float64)

    trials = raw.trials
    return replace(
        raw,
        units={name: moved(t) for name, t in raw.units.items()},
        signal=None if raw.signal is None else replace(raw.signal, start=raw.signal.start - float(origin) * scale),
        trials=None if trials is None else replace(trials, start=moved(trials.start), stop=moved(trials.stop), origin=float(origin)),
        series={name: replace(series, times=moved(series.times)) for name, series in raw.series.items()},
        observed={name: moved(spans) for name, spans in raw.observed.items()},
        origin=float(origin),
    )


def _first(times: np.ndarray) -> int | float:
    """A whole number at or before the first time: an integer for integers, which float64 may not hold."""
    return int(times.min()) if times.dtype.kind in "iu" else float(np.floor(np.nanmin(times)))


def _all_times(raw: Raw) -> list[np.ndarray]:
    trials = [] if raw.trials is None else [raw.trials.start, raw.trials.stop]
    return [*raw.units.values(), *trials, *(series.times for series in raw.series.values()), *raw.observed.values()]


def resolution(raw: Raw, scale: float) -> float:
    """Seconds by which the clock's times can be off, for the type they are stored as holds no more digits.

    Whole numbers are exact. Times that all fit into single precision, but are none, have been in it.
    """
    worst = 0.0
    for times in (*raw.units.values(), *([] if raw.trials is None else [raw.trials.start, raw.trials.stop])):
        if times.dtype.kind != "f" or not (known := times[np.isfinite(times)]).size:
            continue
        if not (known == np.rint(known)).all():
            worst = max(worst, _digits(known))
    return worst * scale


def _digits(known: np.ndarray) -> float:
    """What the type of these times leaves open; those that are round in binary, such as 2.5, are the same in both types."""
    largest = np.abs(known).max()
    single = float(np.spacing(np.float32(largest)))
    if np.array_equal(known.astype(np.float32), known) and not np.array_equal(known / (2 * single), np.rint(known / (2 * single))):
        return single
    return float(np.spacing(largest))


def coarse(raw: Raw, scale: float, bin_ms: float) -> str | None:
    """A sentence where the clock is too coarse for the bins: its type holds too few digits, or its ticks do not divide a bin."""
    width = bin_ms / 1000
    if (step := resolution(raw, scale)) > SHARE * width:
        return (
            f"times are only known to {step * 1000:.2g} ms, {step / width:.0%} of a bin: they are stored with too few digits. "
            "Some events may lie in a neighbouring bin."
        )
    times = np.concatenate([t[:1000] for t in raw.units.values()] or [np.zeros(0)])
    times = times[np.isfinite(times)]
    ticks = [tick for tick in (scale, 1e-3) if times.size >= 100 and (np.abs(times * (scale / tick) - np.rint(times * (scale / tick))) < 1e-4).all()]
    if ticks and (tick := max(ticks)) > SHARE * width and abs(width / tick - round(width / tick)) > 1e-6:
        few = int(width / tick)
        return (
            f"times are whole multiples of {tick * 1000:g} ms, so bins of {bin_ms:g} ms hold {few} or {few + 1} of them in turn, "
            f"and counts go up and down with that. Choose a multiple of {tick * 1000:g} ms."
        )
    return None


def odd_width(values: Float[np.ndarray, "B T N"], bin_ms: float) -> str | None:
    """A sentence if counts in bins of this width would be more events per second than channels have."""
    seen = values[np.isfinite(values)]
    if not seen.size or (seen < 0).any() or (seen != np.rint(seen)).any() or (rate := seen.mean() * 1000 / bin_ms) <= MANY_HZ:
        return None
    return f"bins of {bin_ms:g} ms hold {seen.mean():.3g} events each: {rate:.3g} events/s in the usual channel. Is their width in ms?"


def _remedy(raw: Raw) -> str:
    whole = all((t == np.rint(t)).all() for t in raw.units.values())
    samples = " If they count samples, divide them by the sampling rate." if whole and any(t.size for t in raw.units.values()) else ""
    fitting = [name for name, scale in CLOCKS.items() if name != "s" and _odd(raw, scale) is None]
    if not fitting:
        return f"No unit of --time-unit fits better; --time-unit s if they are seconds all the same.{samples}"
    return f"Say --time-unit {fitting[0]}, or --time-unit s if they are seconds all the same.{samples}"


def _odd(raw: Raw, scale: float) -> str | None:
    """What is odd about the times if one unit is ``scale`` seconds."""
    if raw.trials is not None:
        lengths = (raw.trials.stop - raw.trials.start) * scale
        lengths = lengths[np.isfinite(lengths) & (lengths > 0)]
        if lengths.size and not SHORT_TRIAL_S <= np.median(lengths) <= LONG_TRIAL_S:
            return f"times should be in seconds, but then the usual trial lasts {np.median(lengths):.3g} s."
    times = [t[np.isfinite(t)] * scale for t in raw.units.values() if np.isfinite(t).any()]
    if times:
        span = max(float(t.max()) for t in times) - min(float(t.min()) for t in times)
        events = sum(t.size for t in times)
        rate = events / len(times) / span if span > 0 else FEW_HZ
        if events >= 100 and not FEW_HZ <= rate <= MANY_HZ:
            return f"times should be in seconds, but then the usual channel has {rate:.3g} events/s."
    return None


def _apart(raw: Raw) -> tuple[float, str] | None:
    """How much farther one reaches, and a sentence, if events and trials reach so differently far that they must be in different units."""
    if raw.trials is None or not any(np.isfinite(t).any() for t in raw.units.values()):
        return None
    events = max(float(t[np.isfinite(t)].max()) for t in raw.units.values() if np.isfinite(t).any())
    trials = float(raw.trials.stop[np.isfinite(raw.trials.stop)].max(initial=0.0))
    if min(events, trials) <= 0 or 1 / MANY_TIMES < events / trials < MANY_TIMES:
        return None
    ratio = max(events / trials, trials / events)
    return ratio, (
        f"events and trials must be in one unit of time, got events up to {events:.6g} and trials up to {trials:.6g}: "
        f"{ratio:.0f} times as far. Bring them to one unit, such as seconds."
    )
