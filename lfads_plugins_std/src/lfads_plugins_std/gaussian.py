"""Reconstructions of real-valued data."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractReconstruction, Support

_LEAST_VARIANCE = 1e-6


class Gaussian(AbstractReconstruction):
    """Normal with a mean and a log-variance per channel and bin."""

    n_params: ClassVar[int] = 2
    support: ClassVar[Support] = "real"

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """``½ (ln v + (x - mean)² / v)`` without the constant ½ ln 2π, in nats; gradients pass the floor of v as if it were not there."""
        mean, variance = params[..., 0], self.variance(params)
        return 0.5 * (variance.log() + (data - mean).square() / variance)

    @staticmethod
    def variance(params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """``max(exp(log-variance), 1e-6)``, straight through."""
        free = torch.exp(params[..., 1])
        return free + (free.clamp(min=_LEAST_VARIANCE) - free).detach()

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """The mean."""
        return params[..., 0]

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Normal values."""
        mean = params[..., 0]
        return mean + self.variance(params).sqrt() * torch.empty_like(mean).normal_(generator=rng)

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """The mean with variance 1."""
        return torch.stack([mean, torch.zeros_like(mean)], dim=-1)


class MSE(AbstractReconstruction):
    """Squared error: a normal of fixed variance, up to constants."""

    n_params: ClassVar[int] = 1
    support: ClassVar[Support] = "real"

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """``(x - mean)²``, in squared units of the data."""
        return (data - params[..., 0]).square()

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """The mean."""
        return params[..., 0]

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Normal values of variance ½, for which this loss is the negative log-likelihood up to a constant."""
        mean = params[..., 0]
        return mean + 0.5**0.5 * torch.empty_like(mean).normal_(generator=rng)

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """The mean itself."""
        return mean.unsqueeze(-1)
