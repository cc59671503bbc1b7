"""Contract of a reconstruction: the distribution of the data given the parameters read out of the factors."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Support = Literal["counts", "real", "nonnegative", "positive"]
"""Values the data may take: 0, 1, 2...; any; >= 0; > 0. The data checks use it before training."""


class AbstractReconstruction(nn.Module, abc.ABC):
    """A distribution with ``n_params`` parameters per channel and bin, unconstrained on their way in.

    Must provide ``nll``, ``mean`` and ``sample``: in float32 finite, with finite gradients, for parameters from -1e4 to 1e4
    and data of the support from 0 to 1e6 in size.
    May hold trainable per-channel parameters and put a price on them in ``penalty``.
    """

    n_params: ClassVar[int]
    support: ClassVar[Support]
    is_rate: ClassVar[bool] = False
    """Whether ``mean`` is an expected count per bin, so that it can be given in events per second."""

    @abc.abstractmethod
    def nll(self, params: Float[Tensor, "*B T N P"], data: Float[Tensor, "*B T N"]) -> Float[Tensor, "*B T N"]:
        """Loss of each value, in nats unless the summary says otherwise. Missing values (NaN) never reach it."""

    @abc.abstractmethod
    def mean(self, params: Float[Tensor, "*B T N P"]) -> Float[Tensor, "*B T N"]:
        """Expected value of each channel in each bin."""

    @abc.abstractmethod
    def sample(self, params: Float[Tensor, "*B T N P"], rng: torch.Generator) -> Float[Tensor, "*B T N"]:
        """Draw data."""

    def distribution_params(self, params: Float[Tensor, "*B T N P"]) -> Mapping[str, Float[Tensor, "*B T N"]]:
        """The distribution's own parameters by name, in the ranges that they have there, as ``infer.distribution`` writes them.

        The mean alone by default, which is all there is of a distribution of one parameter.
        """
        return {"mean": self.mean(params)}

    def params_from_mean(self, mean: Float[Tensor, " N"]) -> Float[Tensor, "N P"] | None:
        """Parameters whose mean is ``mean``, to start the read-out bias at the data's mean; None starts it at zero."""
        return None

    def start_from(self, data: Float[Tensor, "B T N"]) -> Float[Tensor, "N P"] | None:
        """Suit own trainable parameters to training data (NaN: not observed), and return parameters to start the read-out bias at.

        Called before training only, with the same data whenever a run goes on. None leaves the start to ``params_from_mean``.
        """
        return None

    def penalty(self) -> Float[Tensor, ""]:
        """Price of the trainable parameters; added to the L2 term."""
        return torch.zeros(())
