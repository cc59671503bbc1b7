"""Settings of days of a recording that drifts; no torch and no numpy here."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import at_least, between, setting
from lfads_plugins_std.lorenz_settings import LorenzConfig


@frozen(kw_only=True)
class DriftingConfig(LorenzConfig):
    """Spikes of a Lorenz system on several days, between which the recording drifts; behaviour stays the same function of its state."""

    sessions: int = setting(2, "days; each drifts from the one before", rule=at_least(2), tune="sometimes")
    conditions: int = setting(24, "initial states, the same on all days; each gives one trajectory", rule=at_least(1), tune="sometimes")
    lost: float = setting(0.1, "share of the channels that fall silent from one day to the next", rule=between(0, 1), tune="sometimes")
    gained: float = setting(0.1, "share of the channels that get another neuron, silent ones first", rule=between(0, 1), tune="sometimes")
    rescaled: float = setting(0.2, "standard deviation of the change of each channel's log-rate", rule=at_least(0), tune="sometimes")
    permuted: float = setting(0.0, "share of the channels that change places with one another", rule=between(0, 1), tune="sometimes")
    behaviour_noise: float = setting(0.1, "standard deviation of behaviour that is not of the state, whose own is 1", rule=at_least(0))

    def rules(self) -> list[str]:
        """Faults across fields."""
        if self.lost + self.gained > 1:
            return [*LorenzConfig.rules(self), f"lost: must leave room for gained ({self.gained:g}), so that both are at most 1, got {self.lost:g}"]
        return LorenzConfig.rules(self)
