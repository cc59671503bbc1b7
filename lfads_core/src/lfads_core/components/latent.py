"""Contract of a latent: something more that is inferred about a trial or about each of its bins."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components.prior import AbstractPrior


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentInfo:
    """What a latent is built for."""

    width: int  # D, of what is read in of each bin
    bins: int  # T that are reconstructed; the encoders may see fewer
    rng: torch.Generator  # of first weights


class AbstractLatent(nn.Module, abc.ABC):
    """A latent with its posterior and its prior, for ONE model; the framework does members, draws samples, and prices the divergence.

    Must provide ``forward`` and the attributes ``size``, ``per``, ``enters`` and ``prior``. Must not use chance after it is built, nor
    keep anything between calls.
    """

    size: int
    """K, its width."""
    per: Literal["trial", "bin"] = "trial"
    """Whether there is one of a trial, or one of each bin."""
    enters: Literal["generator", "initial"] = "generator"
    """Where it enters, as further inputs of the generator in each bin, or, of a trial, beside the initial condition."""
    prior: AbstractPrior
    """Over vectors (B K) of trials, or their paths (B T K); says the family of the posterior too."""
    population: ClassVar[bool] = False
    """Whether weights and data may carry a leading axis M; otherwise it is vectorised."""

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "*B Te D"]) -> Float[Tensor, "*B K2"] | Float[Tensor, "*B T K2"]:
        """Means, then log-variances of the posterior, from trials as they were read in."""
