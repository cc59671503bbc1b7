"""Augmentations that hide input values: coordinated dropout and sample validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.components import AbstractAugmentation
from lfads_core.components.augmentation import Noise
from lfads_core.components.batch import Batch, mean_over_trials
from lfads_core.components.function import Operation
from lfads_core.rng import Streams, bernoulli
from lfads_plugins_std.settings import CoordinatedDropoutConfig, SampleValidationConfig


def encoded_block(batch: Batch) -> Float[Tensor, "B Tm Ne"]:
    """The input values that may be hidden: all but the initial-condition segment."""
    return batch.encod[:, batch.ic_bins :]


def lay_on_loss(block: Float[Tensor, "B Tm Ne"], like: Float[Tensor, "B T N"], first_bin: int) -> Float[Tensor, "B T N"]:
    """The block laid over the bins and channels it came from, ones elsewhere."""
    laid = torch.ones_like(like)
    laid[:, first_bin : first_bin + block.shape[1], : block.shape[2]] = block
    return laid


def hide(encod: Float[Tensor, "B Te Ne"], keep: Float[Tensor, "B Tm Ne"], rate: float, first_bin: int) -> Float[Tensor, "B Te Ne"]:
    """Zero what is not kept and divide the rest by ``1 - rate``, from ``first_bin`` on."""
    hidden = (encod[:, first_bin:] * keep).div_(1 - rate)
    return hidden if first_bin == 0 else torch.cat([encod[:, :first_bin], hidden], dim=1)


class LearnOnly(Operation):
    """The loss itself, whose gradient is multiplied by a block of zeros and ones on the bins and channels it was laid on."""

    generate_vmap_rule = True

    @staticmethod
    def forward(loss: Tensor, block: Tensor, first_bin: int) -> Tensor:  # noqa: ARG004 - for the way back
        """Nothing is computed or copied."""
        return loss.view_as(loss)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        """Keep the block."""
        del output
        ctx.save_for_backward(inputs[1])
        ctx.first_bin = inputs[2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Keep the gradient where the model learns, and wherever there was no input."""
        (block,) = ctx.saved_tensors
        if block.shape == grad.shape:
            return grad * block, None, None
        kept = grad.clone(memory_format=torch.contiguous_format)
        kept[:, ctx.first_bin : ctx.first_bin + block.shape[1], : block.shape[2]] *= block
        return kept, None, None


class CoordinatedDropout(AbstractAugmentation):
    """Hide random input values and learn only from those (Keshtkaran & Pandarinath 2019).

    A model that copies its input to its output then gains nothing from it. Losses keep their values; gradients flow
    only where the input was hidden or passed, and wherever there was no input.
    """

    name = "coordinated-dropout"
    by_trial = True
    heeds_weights = True
    reads_masks_alone = True

    def __init__(self, config: CoordinatedDropoutConfig) -> None:
        self.config = config

    def draw(self, batch: Batch, rng: torch.Generator | Streams) -> Noise:
        """Masks of what is kept and, unless there is none of it, of what is passed."""
        config = self.config
        if config.rate == 0:
            return {}
        like = encoded_block(batch) if config.mask == "input" or not batch.nested else batch.recon[:, batch.ic_bins :]
        keep = {"keep": bernoulli(1 - config.rate, like, rng)}
        return keep if config.pass_rate == 0 else {**keep, "pass": bernoulli(config.pass_rate, like, rng)}

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Hide the input; without masks (rate 0) nothing changes."""
        if "keep" not in noise:
            return batch
        keep, first = noise["keep"], batch.ic_bins
        learn = 1 - keep  # hidden, or passed
        learn = torch.maximum(learn, noise["pass"]) if "pass" in noise else learn
        seen = keep[:, : batch.encod.shape[1] - first, : batch.encod.shape[2]]
        encod = hide(batch.encod, seen, self.config.rate, first)
        if not batch.nested:  # nothing that is hidden could be copied to the target
            return replace(batch, encod=encod)
        return replace(batch, encod=encod, masks={**batch.masks, f"{self.name}/learn": learn})

    def weigh(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Float[Tensor, "B T N"]:
        """Same values, gradients only where the model learns."""
        block = batch.masks.get(f"{self.name}/learn")
        if block is None:
            return loss
        learnt: Tensor = LearnOnly.apply(loss, block, batch.ic_bins)
        return learnt


class SampleValidation(AbstractAugmentation):
    """Hide random input values and report the loss on them: a validation that needs no held-out trials."""

    name = "sample-validation"
    by_trial = True
    heeds_weights = True

    def __init__(self, config: SampleValidationConfig) -> None:
        self.config = config

    def draw(self, batch: Batch, rng: torch.Generator | Streams) -> Noise:
        """Mask of what is kept."""
        return {"keep": bernoulli(1 - self.config.rate, encoded_block(batch), rng)}

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Hide the input."""
        encod = hide(batch.encod, noise["keep"], self.config.rate, batch.ic_bins)
        if not batch.nested:  # what is hidden is not in the target
            return replace(batch, encod=encod)
        return replace(batch, encod=encod, masks={**batch.masks, f"{self.name}/keep": noise["keep"]})

    def weigh(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Float[Tensor, "B T N"]:
        """Loss on kept values, scaled up for the hidden ones; unchanged where there was no input."""
        keep = batch.masks.get(f"{self.name}/keep")
        return loss if keep is None else loss * lay_on_loss(keep / (1 - self.config.rate), loss, batch.ic_bins)

    def measure(self, loss: Float[Tensor, "B T N"], batch: Batch) -> Mapping[str, Tensor]:
        """The loss on the hidden values; absent when nothing is hidden."""
        keep, rate, first = batch.masks.get(f"{self.name}/keep"), self.config.rate, batch.ic_bins
        if keep is None or rate == 0:
            return {}
        block = loss[:, first : first + keep.shape[1], : keep.shape[2]] * (1 - keep) / rate
        return {"sample_validation": mean_over_trials(block if self.config.reduce == "mean" else block.sum(dim=(1, 2)), batch.weights)}
