"""A price on inferred inputs whose means are correlated in time (``co_mean_corr_scale`` of the original LFADS, Sussillo et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractLoss, LossInfo, LossInputs
from lfads_core.config.losses import LossConfig


class InputCorrelation(AbstractLoss):
    """Prices :func:`correlation_in_time` of the inferred inputs' posterior means."""

    needs_inputs = True

    def __init__(self, settings: LossConfig, info: LossInfo) -> None:
        super().__init__()
        del settings, info

    def forward(self, seen: LossInputs) -> Mapping[str, Tensor]:
        """One term."""
        inputs = seen.latents.inputs
        return {} if inputs is None else {"lag_one": correlation_in_time(inputs.mean)}


def correlation_in_time(means: Float[Tensor, "B T U"]) -> Float[Tensor, ""]:
    """Mean over trials and inputs of the squared lag-one autocorrelation of an input's posterior means.

    ::

        r = Σ_t d_t d_{t+1} / Σ_t d_t²,   d_t = μ_t - mean over bins of μ

    An input that does not change within a trial has ``r = 0``.
    """
    centred = means - means.mean(dim=1, keepdim=True)
    power = centred.square().sum(dim=1)
    floor = torch.finfo(means.dtype).tiny ** 0.5  # under which the quotient's gradient would overflow
    r = (centred[:, 1:] * centred[:, :-1]).sum(dim=1) / power.clamp(min=floor)
    return r.square().mean()
