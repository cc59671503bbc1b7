"""Contract of a prior: the family the posterior is drawn from, and the price of leaving the prior."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

Draw = Mapping[str, Tensor]
"""Standard random numbers by name, such as ``{"normal": ...}``; every entry has the shape of the mean it goes with."""


class AbstractPrior(nn.Module, abc.ABC):
    """A prior over vectors (initial conditions, ``B I``) or over their paths in time (inferred inputs, ``B T U``).

    Must provide ``kl`` and ``generate``. May provide ``log_ratio`` and ``moments``. May override ``draw`` and ``standardise`` when
    the posterior family is not normal; the family must be location-scale, because recurrences draw ``mean + std * standardised``
    bin by bin.
    Must not keep anything between calls, nor draw random numbers outside ``draw`` and ``generate``.
    """

    def draw(self, like: Float[Tensor, "*S"], rng: torch.Generator) -> Draw:
        """Draw the standard random numbers behind one posterior sample, shaped, typed and placed as ``like``."""
        normal = torch.empty(like.shape, dtype=like.dtype, device=like.device).normal_(generator=rng)
        return {"normal": normal}

    def standardise(self, draw: Draw) -> Float[Tensor, "..."]:
        """Turn a draw into noise of the posterior's standard shape (location 0, scale 1)."""
        return draw["normal"]

    def sample(self, mean: Float[Tensor, "*S"], std: Float[Tensor, "*S"], draw: Draw) -> Float[Tensor, "*S"]:
        """Reparameterised posterior sample, ``mean + std * standardise(draw)``."""
        return mean + std * self.standardise(draw)

    @abc.abstractmethod
    def kl(self, mean: Float[Tensor, "B ..."], std: Float[Tensor, "B ..."], draw: Draw) -> Float[Tensor, " B"]:
        """Divergence of the posterior from this prior, one number per trial, in nats.

        ``draw`` is fresh: a prior without a closed form estimates at ``sample(mean, std, draw)``, which is not the
        sample that was decoded.
        """

    @abc.abstractmethod
    def generate(self, like: Float[Tensor, "*S"], rng: torch.Generator) -> Float[Tensor, "*S"]:
        """Draw from the prior itself, shaped as ``like``."""

    def log_ratio(self, mean: Float[Tensor, "B ..."], std: Float[Tensor, "B ..."], draw: Draw) -> Float[Tensor, " B"] | None:
        """``ln q(z) - ln p(z)`` at ``z = sample(mean, std, draw)``, SUMMED over dimensions and bins, in nats; None if p has no density.

        Bounds on the likelihood of trials are made of it (``lfads bound``), whatever ``kl`` averages over.
        """
        return None

    def moments(self) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]] | None:
        """Mean and standard deviation of every dimension in any one bin; None if the prior has none."""
        return None

    def scalars(self) -> Mapping[str, float]:
        """Numbers worth a curve, such as time constants; logged once per epoch."""
        return {}
