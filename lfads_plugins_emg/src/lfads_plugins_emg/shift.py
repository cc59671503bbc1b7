"""Temporal shift: channels are moved in time, so that shared artefacts cannot be predicted from one another."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lfads_core.components import AbstractAugmentation
from lfads_core.components.augmentation import Noise
from lfads_core.components.batch import Batch
from lfads_plugins_emg.settings import TemporalShiftConfig


def whole_shift(raw: Float[Tensor, "B 1 N"], max_shift: int) -> Int[Tensor, "B 1 N"]:
    """Rounded half to even, then held within ``max_shift``."""
    return raw.round().clamp(-max_shift, max_shift).long()


def shift_in_time(data: Float[Tensor, "B T N"], shift: Int[Tensor, "B 1 N"]) -> Float[Tensor, "B T N"]:
    """``out[t] = data[clamp(t - shift)]``: later for positive shifts; the edge value is repeated."""
    bins = torch.arange(data.shape[1], device=data.device).view(1, -1, 1)
    return data.gather(1, (bins - shift).clamp(0, data.shape[1] - 1))


class TemporalShift(AbstractAugmentation):
    """Input and target of a channel move together, by one shift per trial and channel."""

    name = "temporal-shift"

    def __init__(self, config: TemporalShiftConfig) -> None:
        self.config = config

    def draw(self, batch: Batch, rng: torch.Generator) -> Noise:
        """Normal shifts, in bins, for every channel of the target; the input's channels are the first of them, or have their own."""
        noise = {"shift": self._shifts(batch.recon[:, :1], rng)}
        return noise if batch.nested else {**noise, "input_shift": self._shifts(batch.encod[:, :1], rng)}

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Shift."""
        shift = whole_shift(noise["shift"], self.config.max_shift)
        own = whole_shift(noise["input_shift"], self.config.max_shift) if "input_shift" in noise else shift[..., : batch.encod.shape[2]]
        return replace(batch, encod=shift_in_time(batch.encod, own), recon=shift_in_time(batch.recon, shift))

    def _shifts(self, like: Float[Tensor, "B 1 N"], rng: torch.Generator) -> Float[Tensor, "B 1 N"]:
        return torch.empty_like(like).normal_(generator=rng) * self.config.std
