"""The parameter blocks of the network, with the published initial values.

Their maths works on the last axes, so that a population's weights, stacked along a first axis, can stand in for one model's.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components.function import Operation
from lfads_core.recurrence.reference import affine
from lfads_core.recurrence.weights import GRUWeights


def normal_parameter(shape: tuple[int, ...], std: float, rng: torch.Generator) -> nn.Parameter:
    """Zero-mean normal values of the given standard deviation."""
    return nn.Parameter(torch.empty(shape).normal_(generator=rng).mul_(std))


class GRUParameters(nn.Module):
    """Weights of one GRU. Update and reset biases start at 1, the candidate's at 0; there is no second bias.

    Encoders start both matrices at std 1/sqrt(I + H); generator and controller at 1/sqrt(I) and 1/sqrt(H). ``scales`` multiply that:
    input weights by the first, recurrent weights by the second.
    """

    def __init__(self, inputs: int, hidden: int, rng: torch.Generator, *, joint_scale: bool, scales: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        fan_in, fan_hidden = (inputs + hidden, inputs + hidden) if joint_scale else (max(inputs, 1), hidden)
        self.input = normal_parameter((3 * hidden, inputs), scales[0] / math.sqrt(fan_in), rng)
        self.recurrent = normal_parameter((3 * hidden, hidden), scales[1] / math.sqrt(fan_hidden), rng)
        self.bias = nn.Parameter(torch.cat([torch.ones(2 * hidden), torch.zeros(hidden)]))

    def weights(self) -> GRUWeights:
        """The plain tensors the loops take."""
        return GRUWeights(input=self.input, recurrent=self.recurrent, bias=self.bias)


class Affine(nn.Module):
    """A linear map with bias, weights of std 1/sqrt(fan-in), bias 0."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = normal_parameter((outputs, inputs), 1 / math.sqrt(inputs), rng)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Apply the map over the last axis."""
        return affine(x, self.weight, self.bias)


class UnitRows(nn.Module):
    """The factor matrix: every row has unit length at every use, so factors cannot grow by scale alone."""

    def __init__(self, states: int, factors: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = normal_parameter((factors, states), 1 / math.sqrt(states), rng)

    def rows(self) -> Float[Tensor, "*M F G"]:
        """Rows divided by their length, the length floored at 1e-12."""
        rows: Tensor = UnitLength.apply(self.weight)[0]
        return rows


class UnitLength(Operation):
    """``w / max(|w|, 1e-12)``, with a way back of five operations: ``(g - u (g · u)) / |w|``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and their lengths."""
        length = torch.linalg.vector_norm(weight, dim=-1, keepdim=True).clamp_(min=1e-12)
        return weight / length, length

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        """Keep both."""
        del inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> Tensor | None:
        """What is along a row changes nothing."""
        if grad is None:
            return None
        rows, length = ctx.saved_tensors
        along: Tensor = (grad * rows).sum(dim=-1, keepdim=True)
        found: Tensor = (grad - rows * along) / length
        return found


def drop(x: Tensor, mask: Tensor | None) -> Tensor:
    """Dropout with a given mask of 0 and ``1 / (1 - rate)``; None drops nothing."""
    return x if mask is None else x * mask


def pad_bins(x: Float[Tensor, "*B T K"], before: int, after: int) -> Float[Tensor, "*B T2 K"]:
    """Zeros in ``before`` more bins in front and ``after`` more behind; no copy where there are none."""
    return nn.functional.pad(x, (0, 0, before, after)) if before or after else x
