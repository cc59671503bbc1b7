"""Random gains: trials are made larger or smaller, so that a few levels of activity are not learnt by heart."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractAugmentation
from lfads_core.components.augmentation import Noise
from lfads_core.components.batch import Batch
from lfads_plugins_emg.settings import RandomGainConfig


class RandomGain(AbstractAugmentation):
    """Input and target of a channel are multiplied by one factor for the trial and one for the channel in this trial.

    Scaling of Um et al. (2017), with log-normal factors whose mean is 1, so that what a model expects of channels it does not see stays
    right. Channels of an input that are not the target's have the trial's factor alone.
    """

    name = "random-gain"

    def __init__(self, config: RandomGainConfig) -> None:
        self.config = config

    def draw(self, batch: Batch, rng: torch.Generator) -> Noise:
        """Logarithms of the factors: (B, 1, 1) of trials, (B, 1, N) of the channels of the target."""
        return {
            "common": _log_gains(batch.recon[:, :1, :1], self.config.common, rng),
            "own": _log_gains(batch.recon[:, :1], self.config.own, rng),
        }

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Multiply."""
        gains = (noise["common"] + noise["own"]).exp()
        of_input = gains[..., : batch.encod.shape[2]] if batch.nested else noise["common"].exp()
        return replace(batch, encod=batch.encod * of_input, recon=batch.recon * gains)


def _log_gains(like: Float[Tensor, "B 1 N"], spread: float, rng: torch.Generator) -> Float[Tensor, "B 1 N"]:
    """Normal, so that the mean of their exponentials is 1."""
    return torch.empty_like(like).normal_(generator=rng) * spread - spread**2 / 2
