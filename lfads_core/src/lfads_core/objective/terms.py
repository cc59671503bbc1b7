"""Terms of the loss and their ramps, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components.batch import mean_over_trials
from lfads_core.components.function import Operation
from lfads_core.config.schema import RegularisationConfig
from lfads_core.model.lfads import LFADS


def reduce_reconstruction(loss: Float[Tensor, "B T N"], how: Literal["mean", "sum"], weights: Float[Tensor, " B"] | None = None) -> Float[Tensor, ""]:
    """Mean over trials, bins and channels; or sum over bins and channels, then mean over trials: over those whose weight is not 0."""
    if weights is not None:
        each = loss.flatten(1).sum(dim=1)
        return mean_over_trials(each / loss[0].numel() if how == "mean" else each, weights)
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

    kl: float | np.float32 | Float[Tensor, ""]
    l2: float | np.float32 | Float[Tensor, ""]
    losses: Mapping[str, float | np.float32 | Float[Tensor, ""]] = field(default_factory=dict)


def ramp(epoch: int, start_epoch: int, increase_epochs: int) -> float:
    """Linear growth from 0 to 1, ``clamp((epoch + 1 - start) / (increase + 1), 0, 1)``; epochs count from 0."""
    return min(max((epoch + 1 - start_epoch) / (increase_epochs + 1), 0.0), 1.0)


def l2_shares(kernels: Sequence[tuple[float, Tensor]]) -> list[float]:
    """What half of each kernel's squares is multiplied with: ``scale_k / (entries of all kernels whose scale is above 0 + 1e-8)``."""
    entries = sum(kernel.numel() for scale, kernel in kernels if scale > 0) + 1e-8
    return [scale / entries for scale, _ in kernels]


def l2_of_kernels(kernels: Sequence[Tensor], shares: Sequence[float] | Float[Tensor, " K"]) -> Tensor:
    """``Σ_k share_k ½‖W_k‖²``; zero when there are none. Members of a population whose shares differ have them as a tensor."""
    if not isinstance(shares, Tensor):
        counted = [(share, kernel) for share, kernel in zip(shares, kernels, strict=True) if share > 0]
        if not counted:
            return kernels[0].new_zeros(()) if kernels else torch.zeros(())  # on the kernels' device, whatever the scales
        shares, kernels = [share for share, _ in counted], [kernel for _, kernel in counted]
    price: Tensor = HalfSquares.apply(shares, *kernels)[0]
    return price


class HalfSquares(Operation):
    """``Σ_k s_k ½‖W_k‖²`` and ``½ s_k W_k``, over all kernels at once: each by itself would be a handful of small operations each way."""

    generate_vmap_rule = True

    @staticmethod
    def forward(scales: Sequence[float] | Tensor, *kernels: Tensor) -> tuple[Tensor, Tensor]:
        """The sum, and half of all slopes side by side."""
        flat = torch.cat([kernel.flatten() for kernel in kernels])
        each: Sequence[Any] = (scales / 2).unbind() if isinstance(scales, Tensor) else [scale / 2 for scale in scales]
        if not isinstance(scales, Tensor) and len(set(scales)) == 1:
            half = flat * each[0]
        else:
            half = torch.cat([(kernel * scale).flatten() for scale, kernel in zip(each, kernels, strict=True)])
        return torch.dot(flat, half), half

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep the halves."""
        ctx.shapes = [kernel.shape for kernel in inputs[1:]]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        """One product; each kernel takes its part of it."""
        if grad is None:
            return (None,) * (1 + len(ctx.shapes))
        parts = (ctx.saved_tensors[0] * (2 * grad)).split([shape.numel() for shape in ctx.shapes])
        return None, *(part.view(shape) for part, shape in zip(parts, ctx.shapes, strict=True))


def recurrent_kernels(model: LFADS, scales: RegularisationConfig) -> list[tuple[float, Tensor]]:
    """Each recurrent matrix with the scale the settings give it; 0 for one that is not trained."""
    kernels = [(scales.l2_encoder, kernel) for kernel in model.encoder.part.kernels()]
    kernels += [(scales.l2_generator, kernel) for kernel in model.decoder.generator.kernels()]
    if model.input_encoder is not None and model.decoder.controller is not None:
        kernels += [(scales.l2_input_encoder, kernel) for kernel in model.input_encoder.part.kernels()]
        kernels.append((scales.l2_controller, model.decoder.controller.gru.recurrent))
    frozen = 0.0  # the scale of what training does not change
    return [(scale if kernel.requires_grad else frozen, kernel) for scale, kernel in kernels]
