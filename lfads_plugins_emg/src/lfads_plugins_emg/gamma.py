"""Gamma reconstruction for rectified, smoothed muscle activity (Wimalasena et al. 2022)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractReconstruction, Support

_STEEPEST = 60.0  # log-parameters are held within +-60, where exp and log-gamma are finite in float32


class Gamma(AbstractReconstruction):
    """Positive values with a log-shape and a log-rate per channel and bin."""

    n_params: ClassVar[int] = 2
    support: ClassVar[Support] = "positive"

    @staticmethod
    def shape_and_rate(params: Float[Tensor, "*B T N P"]) -> tuple[Float[Tensor, "*B T N"], Float[Tensor, "*B T N"]]:
        """exp of both parameters."""
        held = params.clamp(-_STEEPEST, _STEEPEST).exp()
        return held[..., 0], held[..., 1]

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """Full negative log density, in nats."""
        shape, rate = self.shape_and_rate(params)
        return torch.lgamma(shape) - torch.xlogy(shape, rate) - torch.xlogy(shape - 1, data) + rate * data

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """shape / rate."""
        return (params[..., 0] - params[..., 1]).clamp(max=_STEEPEST).exp()

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Gamma values."""
        shape, rate = self.shape_and_rate(params)
        # torch.distributions takes no generator; this primitive is what it calls.
        return torch._standard_gamma(shape, generator=rng) / rate  # noqa: SLF001

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """Shape 1 (exponential) with the given mean."""
        log_mean = mean.clamp(min=math.exp(-_STEEPEST)).log()
        return torch.stack([torch.zeros_like(log_mean), -log_mean], dim=-1)
