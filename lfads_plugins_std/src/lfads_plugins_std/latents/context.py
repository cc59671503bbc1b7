"""A context of a trial: what stays the same in all its bins, and differs from trial to trial."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractLatent, LatentInfo
from lfads_core.model.layers import Affine
from lfads_plugins_std.latent_settings import ContextConfig
from lfads_plugins_std.normal import NormalPrior
from lfads_plugins_std.settings import NormalConfig


class Context(AbstractLatent):
    """A vector of each trial with a normal prior, inferred from an average over the bins that are encoded.

    ::

        [μ, ln v] = L mean_t tanh(W x_t + b) + c,    q = N(μ, v),    p = N(0, variance)

    Weights and data may carry an axis M.
    """

    population: ClassVar[bool] = True

    def __init__(self, settings: ContextConfig, info: LatentInfo) -> None:
        super().__init__()
        self.size, self.enters = settings.size, settings.enters
        self.read = Affine(info.width, settings.hidden, info.rng)
        self.posterior = Affine(settings.hidden, 2 * settings.size, info.rng)
        self.prior = NormalPrior(NormalConfig(variance=settings.variance, train_mean=False), settings.size)

    def forward(self, x: Float[Tensor, "*B Te D"]) -> Float[Tensor, "*B K2"]:
        """Means, then log-variances."""
        found: Tensor = self.posterior(torch.tanh(self.read(x)).mean(dim=-2))
        return found
