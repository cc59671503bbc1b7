"""First-order autoregressive prior on the paths of inferred inputs (Pandarinath et al. 2018, methods)."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractPrior, Draw
from lfads_core.components.function import Operation
from lfads_core.errors import ConfigError
from lfads_plugins_std.normal import normal_log_density
from lfads_plugins_std.settings import AutoregressiveConfig


def forgotten(log_tau: Tensor) -> Tensor:
    """``1 - a²``, exact also for time constants so long that a rounds to 1."""
    return -torch.expm1(-2 * torch.exp(-log_tau))


def autoregressive_log_density(path: Float[Tensor, "B T U"], log_tau: Float[Tensor, " U"], log_variance: Float[Tensor, " U"]) -> Float[Tensor, "B T"]:
    """Log density of each bin given the one before, summed over inputs.

        x_1 ~ N(0, v / (1 - a²)),  x_t ~ N(a x_{t-1}, v),  a = exp(-1/τ)

    ``v`` is the variance of the innovations, so that of the process is larger.
    """
    decay = torch.exp(-torch.exp(-log_tau))
    first_log_var = log_variance - torch.log(forgotten(log_tau))
    first = normal_log_density(path[..., :1, :], torch.zeros_like(path[..., :1, :]), first_log_var)
    rest = normal_log_density(path[..., 1:, :], decay * path[..., :-1, :], log_variance)
    return torch.cat([first, rest], dim=-2).sum(dim=-1)


class LogRatio(Operation):
    """``ln q(u_t) - ln p(u_t | u_{t-1})`` at ``u = μ + σ ε``, summed over inputs, each bin by itself.

    ::

        ½ Σ_u [ln v_t - 2 ln σ_t - ε_t² + d_t² / v_t],   d_t = u_t - a u_{t-1},   v_1 = v / (1 - a²),   d_1 = u_1,   v_t = v after that

    By hand, with a third of the operations that autograd would take: values of a path are few, and each operation costs a launch on a GPU.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(mean: Tensor, std: Tensor, noise: Tensor, log_tau: Tensor, log_variance: Tensor) -> tuple[Tensor, ...]:
        """The ratio of each bin; the path, ``d_t``, ``d_t / v_t``, ``a``, ``1 - a²`` and ``-1/τ`` are for the way back."""
        rate = -torch.exp(-log_tau)
        decay, open_ = torch.exp(rate), -torch.expm1(2 * rate)
        first = nn.functional.pad(torch.log(open_).unsqueeze(-2), (0, 0, 0, mean.shape[-2] - 1))  # of 1 / v_1: zero in all other bins
        log_precision = first - log_variance
        path = torch.addcmul(mean, std, noise)
        gap = path - decay * nn.functional.pad(path[..., :-1, :], (0, 0, 1, 0))
        scaled = gap * torch.exp(log_precision)
        terms = torch.addcmul(gap * scaled - log_precision, noise, noise, value=-1).sub(torch.log(std), alpha=2)
        return terms.sum(dim=-1) / 2, path, gap, scaled, decay, open_, rate

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the way back needs."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs[1:3], *output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        """Chain rule, of trials and bins for mean and deviation, of their sum for both parameters."""
        if grad is None:
            return (None,) * 5
        std, noise, path, gap, scaled, decay, open_, rate = ctx.saved_tensors
        each = grad.unsqueeze(-1)
        to_gap = each * scaled
        to_mean = to_gap - decay * nn.functional.pad(to_gap[..., 1:, :], (0, 0, 0, 1))
        to_std = torch.addcdiv(to_mean * noise, each, std, value=-1)
        over = tuple(range(grad.dim()))
        to_log_tau = to_log_variance = None
        if any(ctx.needs_input_grad[3:]):
            to_log_var = each - to_gap * gap  # twice that of ln v_t
            to_log_variance = to_log_var.sum(dim=over) / 2
            of_gap = (to_gap[..., 1:, :] * path[..., :-1, :]).sum(dim=over)
            of_open = to_log_var[..., 0, :].sum(dim=over[:-1]) / open_  # of (1 - a²) / 2, turned round
            to_log_tau = torch.addcmul(of_gap, decay, of_open, value=-1) * decay * rate
        return to_mean, to_std, None, to_log_tau, to_log_variance


class AutoregressivePrior(AbstractPrior):
    """AR(1) in time; the divergence is estimated at one fresh posterior sample."""

    def __init__(self, config: AutoregressiveConfig, dimensions: int) -> None:
        super().__init__()
        self.over_time = config.over_time
        self.log_tau = nn.Parameter(torch.full((dimensions,), math.log(config.tau)), requires_grad=config.train_tau)
        self.log_variance = nn.Parameter(torch.full((dimensions,), math.log(config.variance)), requires_grad=config.train_variance)

    def kl(self, mean: Float[Tensor, "B *T U"], std: Float[Tensor, "B *T U"], draw: Draw) -> Float[Tensor, " B"]:
        """ln q(u) - ln p(u) at a fresh sample u; summed over inputs and, as published, over bins.

        Raises:
            ConfigError: there are no bins, because it was chosen for the initial condition.
        """
        per_bin = self._per_bin(mean, std, draw)
        return per_bin.sum(dim=-1) if self.over_time == "sum" else per_bin.mean(dim=-1)

    def _per_bin(self, mean: Float[Tensor, "B *T U"], std: Float[Tensor, "B *T U"], draw: Draw) -> Float[Tensor, "B T"]:
        if mean.dim() < 3:
            raise ConfigError("autoregressive: must be a prior of inputs over bins, got values without bins. Use it as components.input_prior.")
        per_bin: Tensor = LogRatio.apply(mean, std, self.standardise(draw), self.log_tau, self.log_variance)[0]
        return per_bin

    def log_ratio(self, mean: Float[Tensor, "B T U"], std: Float[Tensor, "B T U"], draw: Draw) -> Float[Tensor, " B"]:
        """Summed over bins, whatever ``over_time`` says."""
        return self._per_bin(mean, std, draw).sum(dim=-1)

    def moments(self) -> tuple[Float[Tensor, " U"], Float[Tensor, " U"]]:
        """Of the stationary process: 0 and √(v / (1 - a²))."""
        spread = torch.exp(self.log_variance.detach() / 2) / torch.sqrt(forgotten(self.log_tau.detach()))
        return torch.zeros_like(spread), spread

    def generate(self, like: Float[Tensor, "B T U"], rng: torch.Generator) -> Float[Tensor, "B T U"]:
        """Stationary paths."""
        noise = self.draw(like, rng)["normal"]
        decay, spread = torch.exp(-torch.exp(-self.log_tau)), torch.exp(self.log_variance / 2)
        x = noise[:, 0] * spread / torch.sqrt(forgotten(self.log_tau))
        path = [x]
        for t in range(1, like.shape[1]):
            x = decay * x + spread * noise[:, t]
            path.append(x)
        return torch.stack(path, dim=1)

    def scalars(self) -> dict[str, float]:
        """Mean time constant in bins and mean innovation variance."""
        return {"tau": float(self.log_tau.detach().exp().mean()), "variance": float(self.log_variance.detach().exp().mean())}
