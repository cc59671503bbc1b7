"""First-order autoregressive prior on the paths of inferred inputs (Pandarinath et al. 2018, methods)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractPrior, Draw
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


class AutoregressivePrior(AbstractPrior):
    """AR(1) in time; the divergence is estimated at one fresh posterior sample."""

    def __init__(self, config: AutoregressiveConfig, dimensions: int) -> None:
        super().__init__()
        self.over_time = config.over_time
        self.log_tau = nn.Parameter(torch.full((dimensions,), math.log(config.tau)), requires_grad=config.train_tau)
        self.log_variance = nn.Parameter(torch.full((dimensions,), math.log(config.variance)), requires_grad=config.train_variance)

    def kl(self, mean: Float[Tensor, "B T U"], std: Float[Tensor, "B T U"], draw: Draw) -> Float[Tensor, " B"]:
        """ln q(u) - ln p(u) at a fresh sample u; summed over inputs and, as published, over bins.

        Raises:
            ConfigError: there are no bins, because it was chosen for the initial condition.
        """
        per_bin = self._per_bin(mean, std, draw)
        return per_bin.sum(dim=-1) if self.over_time == "sum" else per_bin.mean(dim=-1)

    def _per_bin(self, mean: Float[Tensor, "B T U"], std: Float[Tensor, "B T U"], draw: Draw) -> Float[Tensor, "B T"]:
        if mean.dim() < 3:
            raise ConfigError("autoregressive: must be a prior of inputs over bins, got values without bins. Use it as components.input_prior.")
        path = self.sample(mean, std, draw)
        posterior = normal_log_density(path, mean, 2 * torch.log(std)).sum(dim=-1)
        return posterior - autoregressive_log_density(path, self.log_tau, self.log_variance)

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
