"""Settings of the Lorenz data; no torch and no numpy here."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting, share, size_faults

_MOST_STEPS, _MOST_COUNTS = 10**6, 10**6


@frozen(kw_only=True)
class LorenzConfig:
    """Spikes of channels driven by one three-dimensional chaotic system; trials of a condition share their true rates."""

    sessions: int = setting(
        1, "recordings of the same conditions, each with neurons of its own; several make a folder of files", rule=at_least(1), tune="sometimes"
    )
    conditions: int = setting(65, "initial states; each gives one trajectory", rule=at_least(1), tune="sometimes")
    trials_per_condition: int = setting(
        16, "trials of each condition, training and validation together", rule=at_least(2), unit="trials", tune="sometimes"
    )
    bins: int = setting(50, "length of a trial", rule=at_least(1), unit="bins", tune="sometimes")
    bin_ms: float = setting(20.0, "width of a bin", rule=above(0), unit="ms")
    channels: int = setting(40, "neurons", rule=at_least(1), tune="sometimes")
    mean_rate: float = setting(10.0, "rate of each neuron, averaged over all trials", rule=above(0), unit="spikes/s", tune="sometimes")
    modulation: float = setting(1.0, "standard deviation of each neuron's log-rate", rule=at_least(0), tune="sometimes")
    speed: float = setting(1.5, "time units of the Lorenz system per second; one turn takes about 0.75 of them", rule=above(0), unit="1/s")
    burn_in: float = setting(50.0, "time units from the random start to the first bin, to reach the attractor", rule=at_least(0))
    step: float = setting(0.005, "longest integration step, in time units", rule=above(0))
    sigma: float = setting(10.0, "Prandtl number of the system")
    rho: float = setting(28.0, "Rayleigh number of the system")
    beta: float = setting(8 / 3, "geometric factor of the system")
    train_share: float = setting(0.8, "share of each condition's trials that is for training", rule=share())

    def rules(self) -> list[str]:
        """Faults across fields."""
        trials = self.conditions * self.trials_per_condition
        faults = size_faults("sessions x conditions x trials_per_condition x bins x channels", self.sessions, trials, self.bins, self.channels)
        steps = (self.burn_in + self.bins * self.bin_ms / 1000 * self.speed) / self.step
        faults += size_faults("conditions x integration steps of all bins and the burn-in", self.conditions, steps)
        faults += size_faults("bins and integration steps", max(self.bins, steps), most=_MOST_STEPS)
        faults += size_faults("expected counts in a bin (mean_rate x bin_ms / 1000)", self.mean_rate, self.bin_ms / 1000, most=_MOST_COUNTS)
        if faults:
            return faults
        train = train_trials(self)
        if not 1 <= train < self.trials_per_condition:
            return [f"train_share: must leave trials of each condition for both splits, got {train} of {self.trials_per_condition} for training"]
        return []


def train_trials(settings: LorenzConfig) -> int:
    """Number of trials of each condition that go to training; the others are for validation."""
    return round(settings.train_share * settings.trials_per_condition)
