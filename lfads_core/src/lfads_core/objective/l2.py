"""L2 price of the recurrent matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lfads_core.config.schema import RegularisationConfig
from lfads_core.model.lfads import LFADS


def l2_of_kernels(kernels: Sequence[tuple[float, Tensor]]) -> Tensor:
    """``Σ_k scale_k ½‖W_k‖² / (entries of all kernels whose scale is above 0 + 1e-8)``; zero when there are none."""
    counted = [(scale, kernel) for scale, kernel in kernels if scale > 0]
    entries = sum(kernel.numel() for _, kernel in counted)
    nothing = kernels[0][1].new_zeros(()) if kernels else torch.zeros(())  # on the kernels' device, whatever the scales
    price = sum((scale * 0.5 * kernel.pow(2).sum() for scale, kernel in counted), nothing)
    return price / (entries + 1e-8)


def recurrent_kernels(model: LFADS, scales: RegularisationConfig) -> list[tuple[float, Tensor]]:
    """Each recurrent matrix with the scale the settings give it; 0 for one that is not trained."""
    kernels = [(scales.l2_encoder, kernel) for kernel in model.encoder.gru.kernels()]
    kernels.append((scales.l2_generator, model.decoder.generator.recurrent))
    if model.input_encoder is not None and model.decoder.controller is not None:
        kernels += [(scales.l2_input_encoder, kernel) for kernel in model.input_encoder.gru.kernels()]
        kernels.append((scales.l2_controller, model.decoder.controller.gru.recurrent))
    frozen = 0.0  # the scale of what training does not change
    return [(scale if kernel.requires_grad else frozen, kernel) for scale, kernel in kernels]
