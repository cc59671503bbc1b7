"""Settings of the synthetic calcium data; no torch and no numpy here."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, one_of, setting, share, size_faults


@frozen(kw_only=True)
class CalciumConfig:
    """Deconvolved calcium events of cells whose rates follow the Lorenz system, imaged row by row."""

    conditions: int = setting(8, "initial states of the Lorenz system; each gives one trajectory", rule=at_least(1), tune="sometimes")
    trials_per_condition: int = setting(
        50, "trials of each condition, training and validation together", rule=at_least(2), unit="trials", tune="sometimes"
    )
    frames: int = setting(30, "length of a trial", rule=at_least(1), unit="frames", tune="sometimes")
    frame_ms: float = setting(33.0, "time between two frames", rule=above(0), unit="ms")
    fine_bins: int = setting(3, "bins of the fine grid per frame; each cell is scanned in one of them, by its row", rule=at_least(1), unit="bins")
    grid: str = setting(
        "fine", "write events in the bin they were scanned in, NaN elsewhere ('fine'), or by frame ('frames')", rule=one_of("fine", "frames")
    )
    channels: int = setting(100, "cells", rule=at_least(1), tune="sometimes")
    mean_rate: float = setting(6.0, "rate of each cell, averaged over all trials", rule=above(0), unit="spikes/s", tune="sometimes")
    modulation: float = setting(1.0, "standard deviation of each cell's log-rate", rule=at_least(0), tune="sometimes")
    speed: float = setting(6.0, "time units of the Lorenz system per second; one turn takes about 0.75 of them", rule=above(0), unit="1/s")
    rise_ms: float = setting(15.0, "time constant of the indicator's rise (0: at once)", rule=at_least(0), unit="ms")
    decay_ms: float = setting(400.0, "time constant of its decay", rule=above(0), unit="ms")
    half_saturation: float | None = setting(
        20.0, "spikes at once that give half the indicator's largest response (null: no saturation)", rule=above(0), unit="spikes"
    )
    cooperativity: float = setting(1.2, "Hill exponent of the response; above 1, several spikes give more than so many single ones", rule=above(0))
    noise: float = setting(
        0.2, "standard deviation of the noise in a frame, in peaks of a single spike's response", rule=at_least(0), tune="sometimes"
    )
    smallest_event: float = setting(
        0.3, "events that deconvolution may not go below, in peaks of a single spike's response", rule=at_least(0), tune="sometimes"
    )
    warm_up_ms: float = setting(1000.0, "recorded before each trial and cut off, so that calcium has a past", rule=at_least(0), unit="ms")
    train_share: float = setting(0.8, "share of each condition's trials that is for training", rule=share())

    def rules(self) -> list[str]:
        """Faults across fields."""
        trials = self.conditions * self.trials_per_condition
        bins = (self.frames + self.warm_up_ms / self.frame_ms) * self.fine_bins
        faults = size_faults("conditions x trials_per_condition x fine bins with the warm-up x channels", trials, bins, self.channels)
        faults += size_faults("fine bins of a trial with the warm-up", bins, most=10**5)
        faults += size_faults("time units of a trial", bins * self.frame_ms / self.fine_bins / 1000, self.speed, most=10**4)
        faults += size_faults("expected spikes in a frame (mean_rate x frame_ms / 1000)", self.mean_rate, self.frame_ms / 1000, most=10**6)
        if faults:
            return faults
        train = round(self.train_share * self.trials_per_condition)
        if not 1 <= train < self.trials_per_condition:
            return [f"train_share: must leave trials of each condition for both splits, got {train} of {self.trials_per_condition} for training"]
        return []
