"""Zero-inflated gamma for deconvolved calcium events (Wei et al. 2020; Zhu et al. 2022, RADICaL)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractReconstruction, Support
from lfads_plugins_calcium.settings import ZIGConfig

_FLOOR = 1e-5  # of the three squashed parameters
_LEAST_SCALE = 1e-5  # of the trainable scales, which a large step could take below zero
_LOGIT_FLOOR = math.log(_FLOOR / (1 - _FLOOR))
_LEAST_SIZE = 1e-6  # an event no larger than gamma_loc counts as this much above it, instead of being impossible


def floored_sigmoid(x: Tensor) -> Tensor:
    """``max(sigmoid(x), 1e-5)``."""
    return torch.sigmoid(x).clamp(min=_FLOOR)


class ZeroInflatedGamma(AbstractReconstruction):
    """Three parameters per channel and bin: shape, rate, and the chance q of an event.

    shape = s0 * scale[0], rate = s1 * scale[1], q = s2, each s a sigmoid with floor 1e-5; the scales (2, N) are trainable.
    """

    n_params: ClassVar[int] = 3
    support: ClassVar[Support] = "nonnegative"

    def __init__(self, config: ZIGConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.scale = nn.Parameter(torch.full((2, channels), config.scale_init))

    def shape_and_rate(self, params: Float[Tensor, "*B T N P"]) -> tuple[Float[Tensor, "*B T N"], Float[Tensor, "*B T N"]]:
        """Parameters of the gamma part."""
        # Below the floor gradients still pass, so that a scale finds its way back.
        scale = self.scale + (self.scale.clamp(min=_LEAST_SCALE) - self.scale).detach()
        return floored_sigmoid(params[..., 0]) * scale[0], floored_sigmoid(params[..., 1]) * scale[1]

    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """``-ln(1 - q)`` where nothing happened, else ``-ln q - ln Gamma(x - gamma_loc; shape, rate)``, in nats.

        Written with softplus of q's logit, finite for every logit; sizes are made harmless before the gamma's log-density
        sees bins without an event, so that no NaN can travel back through the choice.
        """
        logit = params[..., 2].clamp(min=_LOGIT_FLOOR)
        happened = data > 0
        excess = data - self.config.gamma_loc
        size = torch.where(excess > 0, excess, _LEAST_SIZE).clamp(min=torch.finfo(data.dtype).tiny)
        shape, rate = self.shape_and_rate(params)
        log_density = shape * rate.log() + (shape - 1) * size.log() - rate * size - torch.lgamma(shape)
        return torch.where(happened, nn.functional.softplus(-logit) - log_density, nn.functional.softplus(logit))

    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """``q (shape / rate + gamma_loc)``."""
        shape, rate = self.shape_and_rate(params)
        return floored_sigmoid(params[..., 2]) * (shape / rate + self.config.gamma_loc)

    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Events."""
        shape, rate = self.shape_and_rate(params)
        # torch.distributions takes no generator; this primitive is what it calls.
        size = torch._standard_gamma(shape, generator=rng) / rate + self.config.gamma_loc  # noqa: SLF001
        return size * torch.bernoulli(floored_sigmoid(params[..., 2]), generator=rng)

    def penalty(self) -> Float[Tensor, ""]:
        """``½ strength Σ (scale - prior)²``."""
        return 0.5 * self.config.scale_penalty * (self.scale - self.config.scale_prior).square().sum()
