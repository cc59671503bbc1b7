"""Terms of the loss and their ramps, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.config.schema import RegularisationConfig
from lfads_core.model.lfads import LFADS


def reduce_reconstruction(loss: Float[Tensor, "B T N"], how: Literal["mean", "sum"]) -> Float[Tensor, ""]:
    """Mean over trials, bins and channels; or sum over bins and channels, then mean over trials."""
    values = loss.numel() if how == "mean" else loss.shape[0]
    return loss.sum() / values  # whose gradient is one number; that of a mean would be written out value by value


@dataclass(frozen=True, kw_only=True)
class Ramps:
    """The weights of one epoch, each from 0 to 1."""

    kl: float
    l2: float
    losses: Mapping[str, float] = field(default_factory=dict)  # by name


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The same as terms are multiplied with them: in a step that is captured once and replayed they are numbers on the device."""

    kl: float | Float[Tensor, ""]
    l2: float | Float[Tensor, ""]
    losses: Mapping[str, float | Float[Tensor, ""]] = field(default_factory=dict)


def ramp(epoch: int, start_epoch: int, increase_epochs: int) -> float:
    """Linear growth from 0 to 1, ``clamp((epoch + 1 - start) / (increase + 1), 0, 1)``; epochs count from 0."""
    return min(max((epoch + 1 - start_epoch) / (increase_epochs + 1), 0.0), 1.0)


def l2_of_kernels(kernels: Sequence[tuple[float, Tensor]]) -> Tensor:
    """``Σ_k scale_k ½‖W_k‖² / (entries of all kernels whose scale is above 0 + 1e-8)``; zero when there are none."""
    counted = [(scale, kernel) for scale, kernel in kernels if scale > 0]
    entries = sum(kernel.numel() for _, kernel in counted)
    nothing = kernels[0][1].new_zeros(()) if kernels else torch.zeros(())  # on the kernels' device, whatever the scales
    price = sum((scale * 0.5 * kernel.pow(2).sum() for scale, kernel in counted), nothing)
    return price / (entries + 1e-8)


def recurrent_kernels(model: LFADS, scales: RegularisationConfig) -> list[tuple[float, Tensor]]:
    """Each recurrent matrix with the scale the settings give it; 0 for one that is not trained."""
    kernels = [(scales.l2_encoder, kernel) for kernel in model.encoder.part.kernels()]
    kernels += [(scales.l2_generator, kernel) for kernel in model.decoder.generator.kernels()]
    if model.input_encoder is not None and model.decoder.controller is not None:
        kernels += [(scales.l2_input_encoder, kernel) for kernel in model.input_encoder.part.kernels()]
        kernels.append((scales.l2_controller, model.decoder.controller.gru.recurrent))
    frozen = 0.0  # the scale of what training does not change
    return [(scale if kernel.requires_grad else frozen, kernel) for scale, kernel in kernels]
