"""Selective backpropagation through time: learn from observed values only (Zhu et al. 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractAugmentation
from lfads_core.components.augmentation import Noise
from lfads_core.components.batch import Batch, mean_over_trials

_STAND_IN = 10.0  # any value that every reconstruction accepts; its loss is thrown away


class SelectiveBackprop(AbstractAugmentation):
    """Missing inputs become 0; missing targets cost nothing, and the rest is weighed up for them."""

    name = "sbtt"
    observes_missing: ClassVar[bool] = True
    heeds_weights: ClassVar[bool] = True

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Replace NaN in input and target and remember where targets were observed."""
        missing = batch.recon.isnan()
        recon = torch.where(missing, _STAND_IN, batch.recon)
        masks = {**batch.masks, f"{self.name}/observed": (~missing).to(batch.recon.dtype)}
        return replace(batch, encod=torch.where(batch.encod.isnan(), 0.0, batch.encod), recon=recon, masks=masks)

    def weigh(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Float[Tensor, "B T N"]:
        """Zero for missing values, the others divided by the share observed in the whole batch; all zero if nothing was."""
        observed = batch.masks[f"{self.name}/observed"]
        share = mean_over_trials(observed, batch.weights).clamp(min=1 / observed.numel())
        return torch.where(observed > 0, loss, 0.0) / share
