"""An ordered stack of augmentations: one order for batches, possibly another for the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components.augmentation import AbstractAugmentation, Noise
from lfads_core.components.batch import Batch
from lfads_core.rng import Streams


@dataclass(frozen=True)
class AugmentationStack:
    """Applies augmentations to batches in ``batch_order`` and to losses in ``loss_order``."""

    batch_order: Sequence[AbstractAugmentation]
    loss_order: Sequence[AbstractAugmentation]

    @classmethod
    def ordered(cls, augmentations: Sequence[AbstractAugmentation], loss_names: Sequence[str] | None) -> AugmentationStack:
        """Stack with the loss order given by names; augmentations that it leaves out do not touch the loss."""
        if loss_names is None:
            return cls(augmentations, augmentations)
        by_name = {part.name: part for part in augmentations}
        return cls(augmentations, [by_name[name] for name in loss_names if name in by_name])

    def draw_and_augment(self, batch: Batch, rng: torch.Generator | Streams) -> Batch:
        """Change the batch with fresh noise; a population's streams are for parts that are ``by_trial``."""
        for part in self.batch_order:
            batch = part.augment(batch, part.draw(batch, rng))  # type: ignore[arg-type]
        return batch

    def augment(self, batch: Batch, noise: Mapping[str, Noise]) -> Batch:
        """Change the batch with given noise by augmentation name: for replays."""
        for part in self.batch_order:
            batch = part.augment(batch, noise.get(part.name, {}))
        return batch

    def weigh(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Float[Tensor, "B T N"]:
        """The loss as it should count."""
        for part in self.loss_order:
            loss = part.weigh(loss, batch)
        return loss

    @property
    def heeds_weights(self) -> bool:
        """Whether losses and measures of a batch stay what they are when it is filled up with trials of weight 0."""
        return all(part.heeds_weights or is_plain(part) for part in self.loss_order)

    def measure(self, loss: Float[Tensor, "B T N"], batch: Batch) -> dict[str, Tensor]:
        """Everything the augmentations want logged."""
        return {name: value for part in self.loss_order for name, value in part.measure(loss, batch).items()}


def augmented(batches: Mapping[str, Batch], stack: AugmentationStack, ic_bins: int | None, rng: torch.Generator) -> dict[str, Batch]:
    """Every session's batch after the stack."""
    return {name: stack.draw_and_augment(replace(batch, ic_bins=ic_bins or 0), rng) for name, batch in batches.items()}


def is_plain(part: AbstractAugmentation) -> bool:
    """Whether it leaves the loss as it is, and measures nothing."""
    return (type(part).weigh, type(part).measure) == (AbstractAugmentation.weigh, AbstractAugmentation.measure)
