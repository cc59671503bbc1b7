"""One optimiser step, and the guard against losses that are no longer numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.profiler import record_function

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components.batch import Batch
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.total import Losses, Objective
from lfads_core.recurrence.precision import mixed
from lfads_core.train.health import ASKED_AT_ONCE, Health, health_of, require_finite
from lfads_core.train.optim import AdamW, clip_gradients


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What one step came to."""

    losses: Losses
    grad_norm: Float[Tensor, ""]  # before the clip
    health: Health | None = None  # what the host has not looked at yet; None if it has


def augmented(batches: Mapping[str, Batch], stack: AugmentationStack, ic_bins: int | None, rng: torch.Generator) -> dict[str, Batch]:
    """Every session's batch after the stack."""
    return {name: stack.draw_and_augment(replace(batch, ic_bins=ic_bins or 0), rng) for name, batch in batches.items()}


def train_step(
    model: LFADS,
    objective: Objective,
    stack: AugmentationStack,
    optimizer: AdamW,
    batches: Mapping[str, Batch],
    noise: Noise,
    progress: tuple[int, float | None],
) -> StepResult:
    """Forward, backward, clip, step. ``batches`` are augmented already; ``progress`` is (epoch, clip norm).

    Raises:
        NumericsError: a term or a gradient is not finite; the weights are left as they were. On a GPU that is left to
            whoever asks the result's ``health``, which is better done rarely; the weights are left all the same.
    """
    epoch = progress[0]
    optimizer.zero_grad()
    with record_function("lfads: forward"):
        output = training_pass(model, batches, noise)
    with record_function("lfads: loss"):
        losses = objective(model, batches, output, noise, stack, epoch)
        require_finite(losses, epoch)
    with record_function("lfads: backward"):
        losses.total.backward()
    with record_function("lfads: update"):
        return update(model, optimizer, losses, progress)


def training_pass(model: LFADS, batches: Mapping[str, Batch], noise: Noise) -> ModelOutput:
    """The forward pass in the precision that the model trains in; everything else, validation included, is called as it is."""
    with mixed(model.precision, model.device):
        output: ModelOutput = model(batches, noise)
    return output


def update(model: LFADS, optimizer: AdamW, losses: Losses, progress: tuple[int, float | None]) -> StepResult:
    """Clip the gradients and change the weights; ``progress`` is (epoch, clip norm).

    Raises:
        NumericsError: a gradient is not finite; the weights are left as they were.
    """
    epoch, clip_norm = progress
    health = health_of(model, losses, epoch)
    at_once = model.device.type in ASKED_AT_ONCE
    if at_once:
        health.require()  # before the clip, which would spread one parameter's NaN over all
    clip_gradients(model, health.grad_norm, clip_norm)
    optimizer.step(None if at_once else health.skip())
    return StepResult(losses=losses, grad_norm=health.grad_norm, health=None if at_once else health)
