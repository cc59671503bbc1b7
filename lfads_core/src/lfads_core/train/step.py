"""One optimiser step, and the guard against losses that are no longer numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.data.batch import Batch
from lfads_core.errors import NumericsError
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.objective.total import Losses, Objective
from lfads_core.train.optim import AdamW, clip_gradients, gradient_norm


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What one step came to."""

    losses: Losses
    grad_norm: Float[Tensor, ""]  # before the clip


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
        NumericsError: a term or a gradient is not finite; the weights are left as they were.
    """
    epoch = progress[0]
    optimizer.zero_grad()
    losses = objective(model, batches, model(batches, noise), noise, stack, epoch)
    require_finite(losses, epoch)
    losses.total.backward()
    return StepResult(losses=losses, grad_norm=update(model, optimizer, progress))


def update(model: LFADS, optimizer: AdamW, progress: tuple[int, float | None]) -> Float[Tensor, ""]:
    """Clip the gradients, change the weights, and return the norm before the clip; ``progress`` is (epoch, clip norm).

    Raises:
        NumericsError: a gradient is not finite; the weights are left as they were.
    """
    epoch, clip_norm = progress
    norm = gradient_norm(model)
    if not torch.isfinite(norm):  # asked before the clip, which would spread one parameter's NaN over all
        raise NumericsError(f"epoch {epoch}: the gradient must be finite, got {float(norm)} from {_worst_gradient(model)}.")
    clip_gradients(model, norm, clip_norm)
    optimizer.step()
    return norm


def require_finite(losses: Losses, epoch: int) -> None:
    """Name the first term that is not finite.

    Raises:
        NumericsError: there is one.
    """
    if torch.isfinite(losses.total):
        return
    sessions = {f"recon/{name}": value for name, value in losses.per_session.items() if len(losses.per_session) > 1}
    for name, value in {**sessions, **losses.terms()}.items():
        if not torch.isfinite(value):
            raise NumericsError(f"epoch {epoch}: the loss term '{name}' must be finite, got {value.item()}.")


def _worst_gradient(model: LFADS) -> str:
    bad = [name for name, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    return f"'{bad[0]}'" if bad else "the sum over all parameters"
