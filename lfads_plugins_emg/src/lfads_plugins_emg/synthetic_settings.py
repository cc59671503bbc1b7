"""Settings of the synthetic EMG; no torch and no numpy here."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, between, setting, share, size_faults


@frozen(kw_only=True)
class EMGConfig:
    """Envelopes of muscles driven by a few synergies, with artefacts that strike many channels in the same bin."""

    trials: int = setting(200, "trials, training and validation together", rule=at_least(2), unit="trials", tune="sometimes")
    bins: int = setting(100, "length of a trial", rule=at_least(2), unit="bins", tune="sometimes")
    bin_ms: float = setting(5.0, "width of a bin", rule=above(0), unit="ms")
    channels: int = setting(12, "muscles", rule=at_least(2), tune="sometimes")
    synergies: int = setting(3, "independent activations that drive all muscles", rule=at_least(1), tune="sometimes")
    timescale_ms: float = setting(60.0, "width of the Gaussian kernel that makes activations smooth", rule=above(0), unit="ms", tune="sometimes")
    modulation: float = setting(1.0, "standard deviation of each muscle's log activation", rule=at_least(0), tune="sometimes")
    shape: float = setting(1.5, "shape of the gamma values around the activation: 1 is exponential, more is less noise", rule=above(0), tune="often")
    artefact_rate: float = setting(2.0, "artefacts in each second of a trial", rule=at_least(0), unit="1/s", tune="often")
    artefact_size: float = setting(6.0, "mean artefact, in multiples of a channel's mean activation", rule=at_least(0), tune="often")
    artefact_channels: float = setting(0.8, "share of the channels that an artefact strikes", rule=between(0, 1), tune="sometimes")
    train_share: float = setting(0.8, "share of the trials that is for training", rule=share())

    def rules(self) -> list[str]:
        """Faults across fields."""
        faults = size_faults("trials x bins x channels", self.trials, self.bins, self.channels)
        faults += size_faults("trials x bins x synergies", self.trials, self.bins, self.synergies)
        faults += size_faults("bins of the smoothing kernel (timescale_ms / bin_ms)", self.timescale_ms / self.bin_ms, most=10**4)
        faults += size_faults("artefacts expected in a bin (artefact_rate x bin_ms / 1000)", self.artefact_rate, self.bin_ms / 1000, most=10**6)
        kernel = 1 + 8 * self.timescale_ms / self.bin_ms
        faults += size_faults("trials x bins x synergies x bins of the kernel", self.trials, self.bins, self.synergies, kernel, most=5 * 10**8)
        if faults:
            return faults
        train = train_trials(self)
        if not 1 <= train < self.trials:
            return [f"train_share: must leave trials for both splits, got {train} of {self.trials} for training"]
        return []


def train_trials(settings: EMGConfig) -> int:
    """Number of training trials; the others are for validation."""
    return round(settings.train_share * settings.trials)
