"""Settings of the EMG components; importing this loads no torch."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting
from lfads_core.config.spaces import LIVE, log


@frozen(kw_only=True)
class TemporalShiftConfig:
    """Shift each channel of each trial by a random number of bins."""

    std: float = setting(3.0, "spread of the shifts", rule=above(0), unit="bins", tune="often", search=log(0.5, 6.0))
    max_shift: int = setting(6, "largest shift", rule=at_least(1), unit="bins", tune="sometimes", search=LIVE)


@frozen(kw_only=True)
class RandomGainConfig:
    """Multiply each trial, and each of its channels, by a random factor."""

    common: float = setting(0.5, "spread of the logarithm of a trial's factor", rule=at_least(0), tune="sometimes", search=LIVE)
    own: float = setting(0.5, "spread of the logarithm of a channel's own factor in a trial", rule=at_least(0), tune="sometimes", search=LIVE)
