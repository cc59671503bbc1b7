"""Terms of the loss and their ramps, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


def ramp(epoch: int, start_epoch: int, increase_epochs: int) -> float:
    """Linear growth from 0 to 1, ``clamp((epoch + 1 - start) / (increase + 1), 0, 1)``; epochs count from 0."""
    return min(max((epoch + 1 - start_epoch) / (increase_epochs + 1), 0.0), 1.0)


def correlation_in_time(means: Float[Tensor, "B T U"]) -> Float[Tensor, ""]:
    """Mean over trials and inputs of the squared lag-one autocorrelation of an input's posterior means.

    ::

        r = Σ_t d_t d_{t+1} / Σ_t d_t²,   d_t = μ_t - mean over bins of μ

    An input that does not change within a trial has ``r = 0``. The original LFADS prices correlation through time of the same means
    (``co_mean_corr_scale``, Sussillo et al. 2016).
    """
    centred = means - means.mean(dim=1, keepdim=True)
    power = centred.square().sum(dim=1)
    floor = torch.finfo(means.dtype).tiny ** 0.5  # under which the quotient's gradient would overflow
    r = (centred[:, 1:] * centred[:, :-1]).sum(dim=1) / power.clamp(min=floor)
    return r.square().mean()


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
