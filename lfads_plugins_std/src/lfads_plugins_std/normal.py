"""Normal prior with the closed-form divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractPrior, Draw
from lfads_core.components.function import Operation
from lfads_core.plugins.specs import NoSettings
from lfads_plugins_std.settings import NormalConfig

_LOG_2PI = math.log(2 * math.pi)


def normal_log_density(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """ln N(x; mean, exp(log_var)) per value."""
    return -0.5 * (_LOG_2PI + log_var + (x - mean).square() * torch.exp(-log_var))


class NormalKL(Operation):
    """KL(N(mean, std²) ‖ N(m, v)), summed over dimensions.

    ::

        ½ Σ_k [ln v_k - ln std_k² + (std_k² + (mean_k - m_k)²) / v_k - 1]

    By hand, with a handful of operations each way.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_log_var: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The divergence; the distance of the means and the prior's precision are for the way back."""
        gap, precision = mean - prior_mean, torch.exp(-prior_log_var)
        terms = torch.addcmul(prior_log_var, torch.addcmul(std * std, gap, gap), precision).sub(torch.log(std), alpha=2)
        return (terms.sum(dim=-1) - terms.shape[-1]) / 2, gap, precision

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the way back needs."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(inputs[1], *output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        """Chain rule."""
        if grad is None:
            return (None,) * 4
        std, gap, precision = ctx.saved_tensors
        each, over = grad.unsqueeze(-1), tuple(range(grad.dim()))
        scaled = each * precision
        to_mean = scaled * gap
        to_std = torch.addcdiv(scaled * std, each, std, value=-1)
        to_prior_mean = -to_mean.sum(dim=over) if ctx.needs_input_grad[2] else None
        to_log_var = (each - scaled * torch.addcmul(std * std, gap, gap)).sum(dim=over) / 2 if ctx.needs_input_grad[3] else None
        return to_mean, to_std, to_prior_mean, to_log_var


class NormalPrior(AbstractPrior):
    """N(mean, variance) on every dimension; the mean is trainable, the variance fixed unless it is trained within bounds.

    A trained variance is ``min + exp(a)``, or with an upper bound ``min + (max - min) σ(a)``, with ``a`` trained and the settings'
    variance at the start (``ic_prior_var_min``, ``_scale`` and ``_max`` of the original LFADS).
    """

    def __init__(self, config: NormalConfig, dimensions: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full((dimensions,), config.mean), requires_grad=config.train_mean)
        self.low, self.high = config.min_variance, config.max_variance
        self.trains_variance = config.train_variance
        if self.trains_variance:
            above = config.variance - self.low
            start = math.log(above) if self.high is None else math.log(above / (self.high - config.variance))
            self.free_variance = nn.Parameter(torch.full((dimensions,), start))
        else:
            self.log_var = nn.Parameter(torch.full((dimensions,), math.log(config.variance)), requires_grad=False)

    def log_variance(self) -> Float[Tensor, " K"]:
        """Logarithm of each dimension's variance."""
        if not self.trains_variance:
            return self.log_var
        free = self.free_variance
        return torch.log(self.low + (torch.exp(free) if self.high is None else (self.high - self.low) * torch.sigmoid(free)))

    def kl(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """Sum over dimensions; MEAN over bins if there are any."""
        per_bin: Tensor = NormalKL.apply(mean, std, self.mean, self.log_variance())[0]
        return per_bin if per_bin.dim() == 1 else per_bin.mean(dim=-1)

    def generate(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """Independent draws."""
        return self.mean + torch.exp(self.log_variance() / 2) * self.draw(like, rng)["normal"]

    def log_ratio(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """Difference of two normal log densities."""
        x = self.sample(mean, std, draw)
        gap = normal_log_density(x, mean, 2 * torch.log(std)) - normal_log_density(x, self.mean, self.log_variance())
        return gap.flatten(1).sum(dim=1)

    def moments(self) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]]:
        """Its parameters."""
        return self.mean.detach(), torch.exp(self.log_variance().detach() / 2)

    def scalars(self) -> Mapping[str, float]:
        """Mean over dimensions of a trained variance."""
        return {"variance": float(self.log_variance().detach().exp().mean())} if self.trains_variance else {}


class NullPrior(AbstractPrior):
    """No prior: the divergence is 0; generated values are 0."""

    def kl(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """Zero for every trial."""
        return mean.new_zeros(mean.shape[0])

    def generate(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """Zeros: nothing is known about where such a model's latents lie."""
        return torch.zeros_like(like)


def build_null(_settings: NoSettings, _dimensions: int) -> NullPrior:
    """The null prior, for ``lfads_priors``."""
    return NullPrior()
