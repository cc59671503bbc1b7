"""Poisson reconstructions: counts given log-rates."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.components import AbstractReconstruction, Support
from lfads_core.components.function import Operation
from lfads_core.plugins.specs import NoSettings

_STEEPEST = 60.0  # log-rates beyond this grow linearly, so that exp and its gradient stay finite in float32
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
BLOCK = 2**17  # values that a CPU works on at a time
_MOST_DRAWN = 1e18  # torch draws counts as 64-bit integers, which turn negative beyond 9.2e18


def rate_from_log(log_rate: Tensor) -> Tensor:
    """``exp(x)``, continued by its tangent above x = 60."""
    return torch.exp(log_rate.clamp(max=_STEEPEST)) * (1 + torch.relu(log_rate - _STEEPEST))


def stirling(counts: Tensor) -> Tensor:
    """Stirling's approximation of ln k! as published with LFADS: k ln k - k + ½ ln(2πk) for k > 1, else 0."""
    safe = counts.clamp(min=1.0)
    return torch.where(counts > 1, (safe + 0.5) * safe.log() - safe + _HALF_LOG_2PI, 0.0)


def poisson_nll(log_rate: Float[Tensor, "*B T N"], counts: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
    """``exp(x) - k x + S(k)`` with Stirling's S, in nats."""
    if counts.requires_grad:
        return rate_from_log(log_rate) - counts * log_rate + stirling(counts)
    loss: Tensor = PoissonLoss.apply(*torch.broadcast_tensors(log_rate, counts))[0]
    return loss


class PoissonLoss(Operation):
    """The loss and, in the same pass over the data, its slope in the log-rate: ``exp(min(x, 60)) - k``.

    On a CPU a dozen operations over all values would each wait for the memory; block by block they find them in the cache.
    """

    @staticmethod
    def forward(log_rate: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and slope of every value."""
        log_rate, counts = log_rate.contiguous(), counts.contiguous()
        loss, slope = torch.empty_like(log_rate), torch.empty_like(log_rate)
        size = BLOCK * torch.get_num_threads() if log_rate.device.type == "cpu" else log_rate.numel()
        scratch = log_rate.new_empty(min(max(size, 1), log_rate.numel()))
        for x, k, value, rate in zip(*(t.view(-1).split(max(size, 1)) for t in (log_rate, counts, loss, slope)), strict=True):
            spare = scratch[: x.numel()]
            safe = torch.clamp(k, min=1.0, out=rate)  # Stirling's term, as above
            torch.log(safe, out=value).mul_(torch.add(safe, 0.5, out=spare)).sub_(safe).add_(_HALF_LOG_2PI)
            value.mul_(torch.gt(k, 1.0, out=spare))
            near = torch.clamp(x, max=_STEEPEST, out=spare)
            torch.exp(near, out=rate)
            value.add_(rate).addcmul_(k, x, value=-1)
            value.addcmul_(rate, torch.sub(x, near, out=spare))  # beyond 60 the tangent goes on
            rate.sub_(k)
        return loss, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        """Keep the slope and nothing else."""
        del inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, None]:
        """Chain rule."""
        (slope,) = ctx.saved_tensors
        return None if grad is None else grad * slope, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], log_rate: Tensor, counts: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Members are further values."""
        del info
        x, k = (t if at is None else t.movedim(at, 0) for t, at in zip((log_rate, counts), in_dims, strict=True))
        return PoissonLoss.apply(*torch.broadcast_tensors(x, k)), (0, 0)


class Poisson(AbstractReconstruction):
    """Spike counts with log-rates."""

    n_params: ClassVar[int] = 1
    support: ClassVar[Support] = "counts"
    is_rate: ClassVar[bool] = True

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """Negative log-likelihood, in nats."""
        return poisson_nll(params.squeeze(-1), data)

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
        return (poisson_nll(params.squeeze(-1), data) - null) / (math.log(2) * spikes)


def build_poisson(_settings: NoSettings, _channels: int) -> Poisson:
    """Poisson in nats, for ``lfads_reconstructions``."""
    return Poisson()


def build_poisson_bps(_settings: NoSettings, _channels: int) -> PoissonBPS:
    """Poisson in bits per spike, for ``lfads_reconstructions``."""
    return PoissonBPS()
