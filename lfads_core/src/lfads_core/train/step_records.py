"""What goes into one training step, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lfads_core.components.batch import Batch
from lfads_core.model.noise import Noise
from lfads_core.objective.total import Losses
from lfads_core.train.finite_checks import StepCheck


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
