"""Contract of an alignment: what keeps the latents of a new session where those of the old ones are."""

from __future__ import annotations

import abc
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from lfads_core.components.latents import Latents
from lfads_core.components.loss import AbstractLoss, LossInputs


class AbstractAlignment(AbstractLoss):
    """A loss for ONE new session of a trained model: how far its latents are, as a whole, from those of the sessions before.

    Must provide ``meet`` and ``distance``. It has no use for labels: trials of the two are no pairs. All else is as in a loss, which it is.
    """

    @abc.abstractmethod
    def meet(self, latents: Latents) -> None:
        """Keep, in buffers, what these latents are like: sampled of many trials of the sessions before. Called before the first step."""

    @abc.abstractmethod
    def distance(self, latents: Latents) -> Float[Tensor, ""]:
        """How far these latents are from those it met: no less than 0, the smaller the more alike."""

    def forward(self, seen: LossInputs) -> Mapping[str, Float[Tensor, ""]]:
        """The distance of a batch's trials, before its scale."""
        return {"distance": self.distance(seen.latents)}
