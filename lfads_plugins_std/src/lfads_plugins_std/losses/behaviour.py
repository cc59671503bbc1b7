"""A loss on behaviour, which is decoded from the factors by a linear map that is trained with the model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractLoss, LossInfo, LossInputs
from lfads_core.errors import DataError
from lfads_core.model.layers import Affine
from lfads_plugins_std.loss_settings import BehaviourConfig

KEYS = ("behavior", "behaviour")
"""What the array is called, if the settings do not say."""


class BehaviourLoss(AbstractLoss):
    """Squared error of behaviour ``lag_bins`` after the bins whose factors it is decoded from, in variances of the training trials.

    ::

        error = mean over trials, bins and dimensions of (y_{t + lag} - L f_t)²,    y = (behaviour - mean) / std

    Bins whose behaviour is NaN are left out. Guessing the training trials' mean costs 1 there.

    Raises:
        DataError: the session's file has no such array, or one of another shape.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: BehaviourConfig, info: LossInfo) -> None:
        super().__init__()
        self.key, self.lag = _key(settings, info), settings.lag_bins
        self.arrays = (self.key,)
        (width,) = info.session.extras[self.key][1:] or (1,)
        self.decoder = Affine(info.session.factors, width, info.rng)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def start_from(self, arrays: Mapping[str, Tensor]) -> None:
        """Take mean and standard deviation of each dimension; one that never changes keeps a deviation of 1."""
        known = self._rows(arrays[self.key]).flatten(0, 1).double()
        there = known.isfinite()
        count = there.sum(0).clamp(min=1)
        mean = known.nan_to_num().mul(there).sum(0) / count
        std = ((known.nan_to_num() - mean).square().mul(there).sum(0) / count).sqrt()
        self.mean = mean.to(self.mean)
        self.std = torch.where(std > 0, std, 1.0).to(self.std)

    def decode(self, factors: Float[Tensor, "B T F"]) -> Float[Tensor, "B T K"]:
        """Behaviour ``lag_bins`` after each bin, in the file's units."""
        decoded: Tensor = self.decoder(factors) * self.std + self.mean
        return decoded

    def forward(self, seen: LossInputs) -> Mapping[str, Tensor]:
        """One term, in variances of the training trials."""
        wanted, factors = self._rows(seen.batch.extras[self.key]), seen.latents.factors
        bins = factors.shape[1] - self.lag
        target = (wanted[:, self.lag :].to(factors.dtype) - self.mean) / self.std
        there = target.isfinite()
        error = (self.decoder(factors[:, :bins]) - target.nan_to_num()) * there
        return {"error": error.square().sum() / there.sum().clamp(min=1)}

    def measure(self, seen: LossInputs) -> Mapping[str, Tensor]:
        """The share of the training trials' variance that is explained."""
        return {"r2": 1 - self(seen)["error"].detach()}

    def _rows(self, values: Tensor) -> Tensor:
        """One column for behaviour of one dimension."""
        return values if values.dim() == 3 else values.unsqueeze(-1)


def _key(settings: BehaviourConfig, info: LossInfo) -> str:
    shapes = info.session.extras
    key = next((key for key in ([settings.key] if settings.key else KEYS) if key in shapes), None)
    name = settings.key or KEYS[0]
    if key is None:
        there = ", ".join(f"'train_{found}'" for found in sorted(shapes)) or "none"
        raise DataError(f"{info.session.name}: the loss 'behaviour' needs 'train_{name}' (trials, bins, dimensions) in the file, got {there}.")
    shape = shapes[key]
    if len(shape) not in (1, 2) or shape[0] != info.bins:
        must, got = f"(trials, {info.bins}, dimensions)", f"(trials, {', '.join(map(str, shape))})"
        raise DataError(f"{info.session.name}: the loss 'behaviour' needs 'train_{key}' of shape {must}, got {got}.")
    if settings.lag_bins >= info.bins:
        raise DataError(
            f"{info.session.name}: the loss 'behaviour' must have a lag_bins below the {info.bins} bins of a trial, got {settings.lag_bins}."
        )
    return key
