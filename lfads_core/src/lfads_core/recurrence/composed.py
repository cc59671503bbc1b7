"""What a GRU over time is used for, in terms of the GRU: for backends that have no loops of their own for it."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from lfads_core.recurrence.reference import affine
from lfads_core.recurrence.weights import GRUWeights


def last(
    gru: Callable[..., Tensor], x: Float[Tensor, "*B T I"], h0: Float[Tensor, "*B H"], weights: GRUWeights, *, clip: float
) -> Float[Tensor, "*B H"]:
    """The state after the last bin."""
    return gru(x, h0, weights, clip=clip)[..., -1, :]


def driven(
    gru: Callable[..., Tensor],
    x: Float[Tensor, "*B T I"],
    h0: Float[Tensor, "*B G"],
    weights: GRUWeights,
    factors: Float[Tensor, "*M F G"],
    *,
    clip: float,
    mask: Float[Tensor, "*B T G"] | None = None,
) -> tuple[Float[Tensor, "*B T G"], Float[Tensor, "*B T F"]]:
    """A generator under given inputs ``x``: its states, and the factors that are read out of them, ``f_t = W (g_t ⊙ mask_t)``."""
    states = gru(x, h0, weights, clip=clip)
    return states, affine(states if mask is None else states * mask, factors)
