"""What one optimiser step takes and gives, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components.batch import Batch
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.objective.total import Losses, Objective
from lfads_core.train.finite_checks import StepCheck
from lfads_core.train.optim import AdamW


@dataclass(frozen=True, kw_only=True, eq=False)
class StepInputs:
    """One step before its pass: augmented batches, and all noise."""

    epoch: int
    step: int
    batches: Mapping[str, Batch]
    noise: Noise

    @property
    def trials(self) -> int:
        """Trials of all sessions together."""
        return sum(batch.trials.shape[0] for batch in self.batches.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What one step came to."""

    losses: Losses
    grad_norm: Float[Tensor, ""]  # before the clip
    check: StepCheck | None = None  # what the host has not looked at yet; None if it has


@runtime_checkable
class StepOwner(Protocol):
    """Whose step it is: what it changes, and by which settings. A trainer, mostly."""

    model: LFADS
    objective: Objective
    optimizer: AdamW
    train_stack: AugmentationStack

    @property
    def clip_norm(self) -> float | None:
        """Largest norm of the gradient."""
        ...
