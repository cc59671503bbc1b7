"""Spike jitter: every spike moves by a few bins."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lfads_core.components import AbstractAugmentation
from lfads_core.components.augmentation import Noise
from lfads_core.components.batch import Batch
from lfads_core.errors import DataError
from lfads_plugins_std.settings import SpikeJitterConfig


def reflect(at: Int[Tensor, "*B"], bins: int) -> Int[Tensor, "*B"]:
    """Fold bin numbers back into 0 .. bins - 1 at both ends, without repeating the edge bin: -1 becomes 1."""
    period = max(2 * (bins - 1), 1)
    phase = at.remainder(period)
    return torch.minimum(phase, period - phase) if bins > 1 else torch.zeros_like(at)


def jitter_spikes(counts: Float[Tensor, "B T N"], width: int, rng: torch.Generator) -> Float[Tensor, "B T N"]:
    """Move each spike by a uniform whole number of bins in [-width, width], reflected at both ends.

    The edge bin is not repeated by the reflection. Counts per trial and channel are kept, except that bins without a
    value (NaN) stay so and lose the spikes that land there.

    Raises:
        DataError: a value is no count.
    """
    trials, bins, channels = counts.shape
    seen = torch.where(counts.isnan(), 0.0, counts)
    spikes = seen.long()
    if not torch.equal(spikes.clamp(min=0).to(counts.dtype), seen):
        wrong = seen[spikes.clamp(min=0) != seen][0].item()
        raise DataError(
            f"spike-jitter: data must be spike counts (0, 1, 2...), got {wrong:g}. "
            "Take it out of components.train_augmentations, or put it before those that change values."
        )
    trial, at, channel = (index.repeat_interleave(spikes[spikes > 0]) for index in spikes.nonzero(as_tuple=True))
    landed = reflect(at + torch.randint(-width, width + 1, at.shape, generator=rng, device=counts.device), bins)
    moved = torch.zeros(trials * bins * channels, dtype=counts.dtype, device=counts.device)
    moved.index_add_(0, (trial * bins + landed) * channels + channel, torch.ones_like(landed, dtype=counts.dtype))
    return torch.where(counts.isnan(), counts, moved.view_as(counts))


class SpikeJitter(AbstractAugmentation):
    """Jitter input and target together: a spike that is both moves once."""

    name = "spike-jitter"

    def __init__(self, config: SpikeJitterConfig) -> None:
        self.config = config

    def draw(self, batch: Batch, rng: torch.Generator) -> Noise:
        """The jittered counts themselves; input that is not part of the target is jittered on its own."""
        bins, channels = batch.encod.shape[1:]
        recon = jitter_spikes(batch.recon, self.config.width, rng)
        shared = torch.equal(batch.recon[:, :bins, :channels].nan_to_num(), batch.encod.nan_to_num())
        encod = recon[:, :bins, :channels] if shared else jitter_spikes(batch.encod, self.config.width, rng)
        return {"encod": encod, "recon": recon}

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Put the jittered counts in place."""
        return replace(batch, encod=noise["encod"], recon=noise["recon"])
