"""Price of inferred inputs that are correlated in time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


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
