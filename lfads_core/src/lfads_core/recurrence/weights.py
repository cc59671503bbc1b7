"""Weights and results of the two loops, as plain named tensors."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lfads_core.components.generator import GRUWeights

__all__ = ["ControlWeights", "DecoderDrive", "DecoderPath", "DecoderStart", "DecoderWeights", "GRUWeights"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlWeights:
    """Weights of the closed loop around a generator of whatever kind."""

    controller: GRUWeights  # reads [ci (2C), factors (F)]
    posterior: Float[Tensor, "*M U2 H"]  # controller state to [mean, log-variance] of the inferred inputs
    posterior_bias: Float[Tensor, "*M U2"]
    factors: Float[Tensor, "*M F G"]  # rows of unit length


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderWeights(ControlWeights):
    """Weights of the closed loop of controller and generator, both GRUs."""

    generator: GRUWeights  # reads [inferred inputs (U), external inputs (E)]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderStart:
    """Where the closed loop begins."""

    generator: Float[Tensor, "*B G"]
    factors: Float[Tensor, "*B F"]
    controller: Float[Tensor, "*B H"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderDrive:
    """What reaches the closed loop from outside, bin by bin. Masks are 0 or 1/(1 - rate)."""

    ci: Float[Tensor, "*B T C2"]
    external: Float[Tensor, "*B T E"]
    noise: Float[Tensor, "*B T U"] | None  # standard noise behind the inputs; None decodes their means
    con_mask: Float[Tensor, "*B T C2F"] | None = None
    state_mask: Float[Tensor, "*B T G"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderPath:
    """The closed loop's path through one batch."""

    states: Float[Tensor, "*B T G"]
    factors: Float[Tensor, "*B T F"]
    con_states: Float[Tensor, "*B T H"]
    input_mean: Float[Tensor, "*B T U"]
    input_std: Float[Tensor, "*B T U"]
    inputs: Float[Tensor, "*B T U"]
