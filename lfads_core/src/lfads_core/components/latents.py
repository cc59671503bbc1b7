"""What a model infers about a batch of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """A factorised posterior of the family that its prior declares."""

    mean: Float[Tensor, "*B K"]
    std: Float[Tensor, "*B K"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Latents:
    """Everything inferred about a batch of trials, all sessions concatenated."""

    ic: Posterior  # initial condition, (B, I)
    inputs: Posterior | None  # inferred inputs, (B, T, U); None without a controller
    ci: Float[Tensor, "*B T C2"] | None  # what the controller read from its encoder, after the lag
    gen_init: Float[Tensor, "*B G"]  # generator state before the first bin
    gen_states: Float[Tensor, "*B T G"]
    gen_inputs: Float[Tensor, "*B T UE"]  # inferred, then external inputs, then latents, as the generator got them
    con_states: Float[Tensor, "*B T H"] | None
    factors: Float[Tensor, "*B T F"]
    further: Mapping[str, Posterior] = field(default_factory=dict)  # latents of plugins by name, (B, K) or (B, T, K)
