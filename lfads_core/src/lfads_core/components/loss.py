"""Contract of a loss: further terms of what training minimises."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components.batch import Batch
from lfads_core.components.latents import Latents
from lfads_core.components.prior import Draw
from lfads_core.components.readin import SessionInfo


@dataclass(frozen=True, kw_only=True, eq=False)
class LossInfo:
    """What a loss is built for: one session of a model."""

    session: SessionInfo  # its channels, factors, and the shapes of its arrays with a row per trial
    bins: int  # T
    states: int  # G
    inputs: int  # U; 0 without a controller
    rng: torch.Generator  # of first weights


@dataclass(frozen=True, kw_only=True, eq=False)
class LossInputs:
    """What a loss gets to see: one session's trials of one pass."""

    batch: Batch  # as the model saw it, after the augmentations
    latents: Latents  # of these trials
    params: Float[Tensor, "B T N P"]  # of the reconstruction
    draw: Draw  # what ``draw`` drew for them


class AbstractLoss(nn.Module, abc.ABC):
    """Named terms for ONE session; the framework does sessions and members, and multiplies by the settings' scale and ramp.

    Must provide ``forward``. May hold trainable modules. Must not use chance outside ``draw``, nor keep anything between calls.
    """

    arrays: tuple[str, ...] = ()
    """Keys of the file's arrays with a row per trial that it needs in ``batch.extras``, such as ``"behavior"``."""
    needs_inputs: ClassVar[bool] = False
    """Whether it prices inferred inputs, so that a model without a controller has no use for it."""

    @abc.abstractmethod
    def forward(self, seen: LossInputs) -> Mapping[str, Float[Tensor, ""]]:
        """Terms by name, each a mean over trials, before their scale."""

    def measure(self, seen: LossInputs) -> Mapping[str, Float[Tensor, ""]]:
        """Numbers to be logged that cost nothing, each a mean over trials."""
        return {}

    def draw(self, batch: Batch, rng: torch.Generator) -> Draw:
        """Random numbers for one pass over these trials."""
        return {}

    def start_from(self, arrays: Mapping[str, Tensor]) -> None:
        """Suit buffers and first weights to the training trials' ``arrays``; called before training only, always with the same data."""
