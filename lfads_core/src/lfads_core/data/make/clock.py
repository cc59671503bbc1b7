"""Seconds or milliseconds: what times look like, before they are believed."""

from __future__ import annotations

import numpy as np

from lfads_core.data.checks import Problem
from lfads_core.data.make.options import CLOCKS
from lfads_core.data.make.raw import Raw
from lfads_core.errors import ConfigError, DataError

LONG_TRIAL_S, SHORT_TRIAL_S = 200.0, 0.01
"""Median trials longer or shorter than these are rare enough to be asked about."""
FEW_HZ, MANY_HZ = 0.05, 1000.0
"""The same for the mean rate of a channel, over the time from the first to the last event."""


def seconds_per_unit(raw: Raw, clock: str | None) -> tuple[float, list[Problem]]:
    """Seconds in one unit of the recording's times; ``clock`` is what the user says.

    Raises:
        ConfigError: the format settles the unit, and the user says another.
        DataError: the user says nothing, and the times do not look like seconds.
    """
    if raw.clock is not None:
        if clock is not None and clock != raw.clock:
            raise ConfigError(f"{raw.where}: times of this format are in {raw.clock}, got --time-unit {clock}. Leave the option out.")
        return CLOCKS[raw.clock], []
    said = CLOCKS[clock or "s"]
    if (text := _odd(raw, said)) is None:
        return said, []
    if clock is None:
        raise DataError(f"{raw.where}: {text} Say --time-unit ms, or --time-unit s if they are seconds all the same.")
    return said, [Problem(severity="warning", text=f"{text} They are taken as {clock}, as you say.")]


def _odd(raw: Raw, scale: float) -> str | None:
    """What is odd about the times if one unit is ``scale`` seconds."""
    if raw.trials is not None:
        lengths = (raw.trials.stop - raw.trials.start) * scale
        lengths = lengths[np.isfinite(lengths)]
        if lengths.size and not SHORT_TRIAL_S <= np.median(lengths) <= LONG_TRIAL_S:
            return f"times should be in seconds, but then the usual trial lasts {np.median(lengths):.3g} s."
    times = [t * scale for t in raw.units.values() if t.size]
    if times:
        span = max(float(t.max()) for t in times) - min(float(t.min()) for t in times)
        events = sum(t.size for t in times)
        rate = events / len(times) / span if span > 0 else FEW_HZ
        if events >= 100 and not FEW_HZ <= rate <= MANY_HZ:
            return f"times should be in seconds, but then the usual channel has {rate:.3g} events/s."
    return None
