"""A generator under given inputs in C: the closed loop with a controller of no units, so that factors are read out while states are in the cache."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lfads_core.recurrence import composed, fused_gru
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights
from lfads_plugins_std.compiled.controlled import controlled
from lfads_plugins_std.compiled.library import Library, covers


def driven(
    x: Float[Tensor, "*B T I"],
    h0: Float[Tensor, "*B G"],
    weights: GRUWeights,
    factors: Float[Tensor, "*M F G"],
    *,
    clip: float,
    mask: Float[Tensor, "*B T G"] | None = None,
    library: Library | None = None,
) -> tuple[Float[Tensor, "*B T G"], Float[Tensor, "*B T F"]]:
    """States and factors of a generator with a library (None: that of this machine); see :func:`lfads_core.recurrence.composed.driven`."""
    if not covers(x, h0, weights.input, weights.recurrent, weights.bias, factors, mask) or (mask is not None and mask.requires_grad):
        return composed.driven(fused_gru.gru, x, h0, weights, factors, clip=clip, mask=mask)
    members, trials, width = factors.shape[:-2], h0.shape[:-1], factors.shape[-2]
    path = controlled(
        DecoderStart(generator=h0, factors=h0.new_zeros(*trials, width), controller=h0.new_zeros(*trials, 0)),
        DecoderDrive(ci=x[..., :0], external=x, noise=None, state_mask=mask),
        DecoderWeights(
            controller=GRUWeights(input=h0.new_zeros(*members, 0, width), recurrent=h0.new_zeros(*members, 0, 0), bias=h0.new_zeros(*members, 0)),
            posterior=h0.new_zeros(*members, 0, 0),
            posterior_bias=h0.new_zeros(*members, 0),
            generator=weights,
            factors=factors,
        ),
        clip=clip,
        library=library,
    )
    return path.states, path.factors
