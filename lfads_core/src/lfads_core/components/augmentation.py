"""Contract of an augmentation: a change to the batch before the model, and to the loss after it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components.batch import Batch

Noise = Mapping[str, Tensor]


class AbstractAugmentation(abc.ABC):
    """A pure change. What the loss needs later travels in ``batch.masks`` under the augmentation's own names.

    Must provide ``augment``. Randomness comes from ``draw`` only, so that a replay can hand in given masks or shifts.
    Must not remember anything between calls.
    """

    name: str
    """The registered name; masks are stored under ``"<name>/<what>"``."""
    observes_missing: ClassVar[bool] = False
    """Whether missing values (NaN) are taken care of, so that data may hold them."""
    by_trial: ClassVar[bool] = False
    """Whether ``augment`` changes each trial by itself and ``draw`` draws with :func:`lfads_core.rng.bernoulli` alone, trial after trial:
    trials of all members of a population may then come as one batch, with their :class:`~lfads_core.rng.Streams`."""

    heeds_weights: ClassVar[bool] = False
    """Whether ``weigh`` and ``measure``, where it has its own, look at each trial by itself but for means, and leave trials whose
    ``batch.weights`` are 0 out of these: batches may then be filled up to one size."""

    reads_masks_alone: ClassVar[bool] = False
    """Whether ``weigh`` and ``measure``, where it has its own, read nothing of the augmentation itself, but ``batch.masks``: members of a
    population may then be priced together, whatever its settings are in each."""

    def draw(self, batch: Batch, rng: torch.Generator) -> Noise:
        """Draw whatever ``augment`` needs; nothing for a fixed change."""
        return {}

    @abc.abstractmethod
    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Return a changed copy of the batch."""

    def weigh(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Float[Tensor, "B T N"]:
        """Return the reconstruction loss as it should count, per value."""
        return loss

    def measure(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Mapping[str, Tensor]:
        """Numbers worth logging, computed from the unweighed loss."""
        return {}
