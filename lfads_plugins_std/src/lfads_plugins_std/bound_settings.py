"""Settings of the data of a network that integrates evidence to a bound; no torch and no numpy here."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting, share
from lfads_plugins_std.network_settings import Noise, noise_setting, split_faults

BIN_MS, TAU_MS = 10.0, 25.0
"""The clock of the trained network, which came with its weights."""

TIME_TO_BOUND_S = 0.4
"""Time in which evidence of 1 reaches the bound."""


@frozen(kw_only=True)
class BoundConfig:
    """Units of a recurrent network that was trained to add up noisy evidence until it reaches a bound."""

    seconds: float = setting(1.0, "length of a trial (T)", rule=above(0), unit="s", tune="sometimes")
    conditions: int = setting(800, "different streams of evidence (C)", rule=at_least(1), tune="sometimes")
    trials_per_condition: int = setting(5, "noisy observations of each (nreplications)", rule=at_least(2), unit="trials", tune="sometimes")
    train_share: float = setting(0.8, "share of each condition's trials that is for training (train_percentage)", rule=share())
    channels: int = setting(50, "units that are recorded (S), at most all that the network has", rule=at_least(1), tune="sometimes")
    components: int = setting(10, "principal components of the noiseless activity that are kept as true factors (npcs)", rule=at_least(1))
    evidence: float = setting(1.0, "largest mean of the evidence; each condition draws its own between minus and plus this", rule=at_least(0))
    u_std: float = setting(0.25, "standard deviation of the evidence from bin to bin", rule=at_least(0), tune="sometimes")
    max_rate: float = setting(30.0, "rate of a unit at its most active (max_firing_rate)", rule=above(0), unit="spikes/s", tune="sometimes")
    noise: Noise = noise_setting()
    noise_std: float | None = setting(None, "standard deviation of gaussian noise (null: the root of the mean expected count)", rule=above(0))
    weights: Path | None = setting(None, "weights that `python -m lfads_plugins_std.bound_training` wrote (null: those that are installed)")

    def rules(self) -> list[str]:
        """Faults across fields."""
        return split_faults(self.train_share, self.trials_per_condition)
