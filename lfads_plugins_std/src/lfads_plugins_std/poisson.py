"""Poisson reconstructions: counts given log-rates."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractReconstruction, Support

_STEEPEST = 60.0  # log-rates beyond this grow linearly, so that exp and its gradient stay finite in float32
_MOST_DRAWN = 1e18  # torch draws counts as 64-bit integers, which turn negative beyond 9.2e18


def rate_from_log(log_rate: Tensor) -> Tensor:
    """``exp(x)``, continued by its tangent above x = 60."""
    return torch.exp(log_rate.clamp(max=_STEEPEST)) * (1 + torch.relu(log_rate - _STEEPEST))


def stirling(counts: Tensor) -> Tensor:
    """Stirling's approximation of ln k! as published with LFADS: k ln k - k + ½ ln(2πk) for k > 1, else 0."""
    safe = counts.clamp(min=1.0)
    return torch.where(counts > 1, safe * safe.log() - safe + 0.5 * torch.log(2 * math.pi * safe), 0.0)


def poisson_nll(log_rate: Float[Tensor, "*B T N"], counts: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
    """``exp(x) - k x + S(k)`` with Stirling's S, in nats."""
    return rate_from_log(log_rate) - counts * log_rate + stirling(counts)


class Poisson(AbstractReconstruction):
    """Spike counts with log-rates."""

    n_params: ClassVar[int] = 1
    support: ClassVar[Support] = "counts"
    is_rate: ClassVar[bool] = True

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """Negative log-likelihood, in nats."""
        return poisson_nll(params[..., 0], data)

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """Expected count per bin."""
        return rate_from_log(params[..., 0])

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Counts; rates above 1e18 are drawn as 1e18."""
        return torch.poisson(self.mean(params).clamp(max=_MOST_DRAWN), generator=rng)

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """Log-rates; silent channels start at one count in 10,000 bins."""
        return mean.clamp(min=1e-4).log().unsqueeze(-1)


class PoissonBPS(Poisson):
    """Poisson loss relative to a constant-rate null model, in bits per spike (lower is better)."""

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """(model - null) / (ln 2 * mean count); the null knows each channel's mean over the batch.

        Not for data with missing values: whatever stands in for them counts in those means.
        """
        rate = data.mean(dim=(-3, -2), keepdim=True)
        null = rate - data * torch.log(rate + 1e-8) + stirling(data)
        spikes = data.mean(dim=(-3, -2, -1), keepdim=True).clamp(min=1e-8)
        return (poisson_nll(params[..., 0], data) - null) / (math.log(2) * spikes)
