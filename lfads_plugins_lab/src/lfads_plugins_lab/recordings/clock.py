"""Seconds or milliseconds: what times look like, before they are believed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfads_core.data.checks import Problem
from lfads_core.errors import ConfigError, DataError
from lfads_plugins_lab.recordings.options import CLOCKS
from lfads_plugins_lab.recordings.raw import Raw

LONG_TRIAL_S, SHORT_TRIAL_S = 200.0, 0.01
"""Median trials longer or shorter than these are rare enough to be asked about."""
FEW_HZ, MANY_HZ = 0.05, 1000.0
"""The same for the mean rate of a channel, over the time from the first to the last event."""
MANY_TIMES = 300.0
"""How much farther than trials events may reach, or trials than events."""


def seconds_per_unit(raw: Raw, clock: str | None) -> tuple[float, list[Problem]]:
    """Seconds in one unit of the recording's times; ``clock`` is what the user says.

    Raises:
        ConfigError: the format settles the unit, and the user says another.
        DataError: the user says nothing, and the times do not look like seconds.
    """
    if raw.clock is not None:
        if clock is not None and clock != raw.clock:
            raise ConfigError(f"{raw.where}: times of this format are in {raw.clock}, got --time-unit {clock}. Leave the option out.")
        scale = CLOCKS[raw.clock]
        text = _odd(raw, scale)
        settled = f"{text} This format has seconds; if the file has another unit, bring it to them." if text else ""
        return scale, [Problem(severity="warning", text=settled)] if text else []
    said = CLOCKS[clock or "s"]
    if (text := _odd(raw, said)) is None:
        return said, []
    if (apart := _apart(raw)) is not None:
        raise DataError(f"{raw.where}: {apart}")
    if clock is None:
        raise DataError(f"{raw.where}: {text} {_remedy(raw)}")
    return said, [Problem(severity="warning", text=f"{text} They are taken as {clock}, as you say.")]


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


def _apart(raw: Raw) -> str | None:
    """A sentence if events and trials reach so differently far that they must be in different units."""
    if raw.trials is None or not any(np.isfinite(t).any() for t in raw.units.values()):
        return None
    events = max(float(t[np.isfinite(t)].max()) for t in raw.units.values() if np.isfinite(t).any())
    trials = float(raw.trials.stop[np.isfinite(raw.trials.stop)].max(initial=0.0))
    if min(events, trials) <= 0 or 1 / MANY_TIMES < events / trials < MANY_TIMES:
        return None
    return (
        f"events and trials must be in one unit of time, got events up to {events:.6g} and trials up to {trials:.6g}: "
        f"{max(events / trials, trials / events):.0f} times as far. Bring them to one unit, such as seconds."
    )
