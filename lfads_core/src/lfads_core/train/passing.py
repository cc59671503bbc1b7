"""What passes between a training and whoever drives it: a step before its pass, an epoch at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lfads_core.components.batch import Batch
from lfads_core.model.noise import Noise
from lfads_core.train.evaluate import Validation


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
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
class EndedEpoch:
    """What one epoch came to: its line of the log, and the validation behind it."""

    epoch: int
    row: dict[str, float]
    validation: Validation
