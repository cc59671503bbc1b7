"""Gamma reconstruction for rectified, smoothed muscle activity (Wimalasena et al. 2022)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractReconstruction, Support

_STEEPEST = 60.0  # log-parameters beyond this act linearly, so that exp, log-gamma and their gradients stay finite in float32


def exp_held(x: Tensor) -> Tensor:
    """``exp(x)``, continued by its tangent above x = 60."""
    return torch.exp(x.clamp(max=_STEEPEST)) * (1 + torch.relu(x - _STEEPEST))


def gamma_nll(log_shape: Float[Tensor, "*B T N"], log_rate: Float[Tensor, "*B T N"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
    """``ln Γ(a) - a ln r - (a - 1) ln x + r x`` with shape a and rate r, in nats.

    Below a = exp(-60), ln Γ(a) is -ln a to all digits. Values below the smallest normal number, 0 among them, count as that.
    """
    shape, x = exp_held(log_shape.clamp(min=-_STEEPEST)), data.clamp(min=torch.finfo(data.dtype).tiny)
    log_gamma = torch.lgamma(shape) + torch.relu(-_STEEPEST - log_shape)
    return log_gamma - shape * log_rate - (shape - 1) * x.log() + exp_held(log_rate) * x


class Gamma(AbstractReconstruction):
    """Positive values with a log-shape and a log-rate per channel and bin."""

    n_params: ClassVar[int] = 2
    support: ClassVar[Support] = "positive"

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """Full negative log density, in nats."""
        return gamma_nll(params[..., 0], params[..., 1], data)

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """shape / rate."""
        return exp_held(params[..., 0] - params[..., 1])

    def distribution_params(self, params: Float[Tensor, "*B T N P"]) -> dict[str, Float[Tensor, "*B T N"]]:
        """Shape and rate; beyond e^±60 they stay there."""
        shape, rate = params.clamp(-_STEEPEST, _STEEPEST).exp().unbind(-1)
        return {"shape": shape, "rate": rate}

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Gamma values."""
        shape = params[..., 0].clamp(-_STEEPEST, _STEEPEST).exp()
        # torch.distributions takes no generator; this primitive is what it calls.
        log_drawn = torch._standard_gamma(shape, generator=rng).log() - params[..., 1]  # noqa: SLF001
        return log_drawn.clamp(-_STEEPEST, _STEEPEST).exp()

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """Shape 1 (exponential) with the given mean."""
        log_mean = mean.clamp(min=math.exp(-_STEEPEST)).log()
        return torch.stack([torch.zeros_like(log_mean), -log_mean], dim=-1)
