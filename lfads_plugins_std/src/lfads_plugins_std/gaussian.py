"""Reconstructions of real-valued data."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractReconstruction, Support
from lfads_core.plugins.specs import NoSettings
from lfads_plugins_std.settings import GaussianConfig

_LEAST_VARIANCE = 1e-6
_LARGEST_LOG_VARIANCE = 120.0  # of what is drawn: its root e^60 stays finite in float32


def floored_log_variance(log_var: Tensor) -> Tensor:
    """``ln max(exp(x), 1e-6)``, with the gradient of ``ln v`` at ``v = 1e-6 + (exp(x) - exp(x).detach())`` below the floor.

    So the gradient passes the floor as if it were not there; nothing overflows, however large x.
    """
    floored = log_var.clamp(min=math.log(_LEAST_VARIANCE)).detach()
    return floored + torch.exp((log_var - floored).detach().clamp(max=0)) * (log_var - log_var.detach())


class Gaussian(AbstractReconstruction):
    """Normal with a mean and a log-variance per channel and bin.

    Where a mean is wrong the likelihood can raise the variance in its place, and the larger that is, the less it asks of the mean: rare large
    values stay noise. ``beta`` weighs the gradients of a value by the power ``beta`` of its variance (Seitzer et al. 2022, β-NLL), divided by
    the mean of these weights over trials and bins, so that a channel's unit does not matter. Losses are the same with every ``beta``.
    """

    n_params: ClassVar[int] = 2
    support: ClassVar[Support] = "real"

    def __init__(self, beta: float = 0.0) -> None:
        super().__init__()
        self.beta = beta

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """``½ (ln v + (x - mean)² / v)`` without the constant ½ ln 2π, in nats; gradients pass the floor of v as if it were not there."""
        log_var = floored_log_variance(params[..., 1])
        loss = 0.5 * (log_var + (data - params[..., 0]).square() * torch.exp(-log_var))
        if not (self.beta and torch.is_grad_enabled()):
            return loss
        power = self.beta * log_var.detach()
        over = tuple(range(-min(power.ndim, 3), -1))  # trials and bins; more dimensions are of samples or models
        weight = torch.exp(power - power.logsumexp(over, keepdim=True)) * math.prod(power.shape[dim] for dim in over)
        return loss.detach() + weight * (loss - loss.detach())

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """The mean."""
        return params[..., 0]

    def distribution_params(self, params: Float[Tensor, "*B T N P"]) -> dict[str, Float[Tensor, "*B T N"]]:
        """Mean and standard deviation; beyond e^60 it stays there."""
        return {"mean": params[..., 0], "std": (floored_log_variance(params[..., 1]).clamp(max=_LARGEST_LOG_VARIANCE) / 2).exp()}

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Normal values."""
        mean, log_var = params[..., 0], floored_log_variance(params[..., 1])
        return mean + torch.exp(log_var.clamp(max=_LARGEST_LOG_VARIANCE) / 2) * torch.empty_like(mean).normal_(generator=rng)

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
        return mean + torch.empty_like(mean).normal_(std=math.sqrt(0.5), generator=rng)

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"]:
        """The mean itself."""
        return mean.unsqueeze(-1)


def build_gaussian(settings: GaussianConfig, _channels: int) -> Gaussian:
    """Gaussian, for ``lfads_reconstructions``."""
    return Gaussian(settings.beta)


def build_mse(_settings: NoSettings, _channels: int) -> MSE:
    """Squared error, for ``lfads_reconstructions``."""
    return MSE()
