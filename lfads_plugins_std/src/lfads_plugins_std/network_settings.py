"""Settings of data from random networks; no torch and no numpy here."""

from __future__ import annotations

from typing import Any, Literal

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting, share, size_faults

Noise = Literal["poisson", "gaussian"]


def noise_setting() -> Any:
    """How rates become data."""
    return setting("poisson", "counts drawn from the rates, or the rates with normal noise (noise_type)", tune="sometimes")


def split_faults(train_share: float, trials: int) -> list[str]:
    """A fault when one of the splits would be without trials of a condition."""
    train = round(train_share * trials)
    return [] if 1 <= train < trials else [f"train_share: must leave trials of each condition for both splits, got {train} of {trials} for training"]


MOST_BINS, MOST_COUNTS = 10**5, 10**6


@frozen(kw_only=True)
class ChaoticConfig:
    """Units of a chaotic network of rate units, pushed by a pulse in each trial if wished."""

    sessions: int = setting(1, "recordings of the same conditions, each of other units; several make a folder of files", rule=at_least(1))
    seconds: float = setting(1.0, "length of a trial (T)", rule=above(0), unit="s", tune="sometimes")
    conditions: int = setting(100, "start states, each with a pulse of its own if there are pulses (C)", rule=at_least(1), tune="sometimes")
    trials_per_condition: int = setting(10, "noisy observations of each condition (nreplications)", rule=at_least(2), unit="trials", tune="sometimes")
    train_share: float = setting(0.8, "share of each condition's trials that is for training (train_percentage)", rule=share())
    units: int = setting(50, "units of the network (N)", rule=at_least(1), tune="sometimes")
    channels: int = setting(50, "units that are recorded (S)", rule=at_least(1), tune="sometimes")
    components: int = setting(10, "principal components of the noiseless activity that are kept as true factors (npcs)", rule=at_least(1))
    g: float = setting(1.5, "strength of the recurrent weights; chaotic above 1, faster with more", rule=at_least(0), tune="sometimes")
    x0_std: float = setting(1.0, "standard deviation of the start states", rule=at_least(0))
    tau_ms: float = setting(25.0, "time constant of a unit (tau)", rule=above(0), unit="ms", tune="sometimes")
    bin_ms: float = setting(10.0, "width of a bin, and the step of the network (dt)", rule=above(0), unit="ms")
    pulses: bool = setting(False, "push the network once in each condition, at a random time in the middle half", tune="sometimes")
    input_magnitude: float = setting(20.0, "height of a pulse, which lasts one bin", tune="sometimes")
    max_rate: float = setting(30.0, "rate of a unit at its most active (max_firing_rate)", rule=above(0), unit="spikes/s", tune="sometimes")
    noise: Noise = noise_setting()
    noise_std: float | None = setting(None, "standard deviation of gaussian noise (null: the root of the mean expected count)", rule=above(0))

    def rules(self) -> list[str]:
        """Faults across fields."""
        bins = self.seconds * 1000 / self.bin_ms
        trials = self.conditions * self.trials_per_condition
        found = size_faults("sessions x conditions x trials_per_condition x bins x channels", self.sessions, trials, bins, self.channels)
        found += size_faults("conditions x bins x units", self.conditions, bins, self.units)
        found += size_faults("units x units", self.units, self.units)
        found += size_faults("bins of a trial", bins, most=MOST_BINS)
        found += size_faults("expected counts in a bin (max_rate x bin_ms / 1000)", self.max_rate, self.bin_ms / 1000, most=MOST_COUNTS)
        if found:
            return found
        found = split_faults(self.train_share, self.trials_per_condition)
        if self.channels > self.units:
            found.append(f"channels: must be at most the {self.units} units, got {self.channels}")
        if self.bin_ms > self.tau_ms:
            found.append(f"bin_ms: must not be longer than tau_ms, or the network's steps overshoot, got {self.bin_ms:g} and {self.tau_ms:g}")
        if self.seconds * 1000 < self.bin_ms:
            found.append(f"seconds: must hold at least one bin of {self.bin_ms:g} ms, got {self.seconds:g}")
        return found


@frozen(kw_only=True)
class LabelledConfig(ChaoticConfig):
    """Units of several chaotic networks; which one a trial comes from is known, and given as external input."""

    networks: int = setting(2, "networks; conditions are dealt out among them", rule=at_least(2))
