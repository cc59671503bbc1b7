"""A network of low rank (Mastrogiuseppe & Ostojic 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractGenerator, GeneratorInfo
from lfads_core.model.layers import normal_parameter
from lfads_core.recurrence.reference import affine
from lfads_plugins_std.model_settings import LowRankConfig


class LowRankNetwork(AbstractGenerator):
    """Leaky units, connected by ``m n'``. Weights and data may carry an axis M.

    ::

        g' = (1 - a) g + a (m n' tanh(g) + B u + b)
    """

    population: ClassVar[bool] = True

    def __init__(self, settings: LowRankConfig, info: GeneratorInfo) -> None:
        super().__init__()
        self.leak = settings.leak
        self.into = normal_parameter((settings.rank, info.size), 1 / info.size**0.5, info.rng)  # n'
        self.out = normal_parameter((info.size, settings.rank), info.recurrent_scale / settings.rank**0.5, info.rng)  # m
        self.input = normal_parameter((info.size, info.inputs), info.input_scale / max(info.inputs, 1) ** 0.5, info.rng)
        self.bias = nn.Parameter(torch.zeros(info.size))

    def step(self, state: Float[Tensor, "*B G"], inputs: Float[Tensor, "*B UE"]) -> Float[Tensor, "*B G"]:
        """The next state."""
        heard = affine(affine(torch.tanh(state), self.into), self.out, self.bias) + affine(inputs, self.input)
        return (1 - self.leak) * state + self.leak * heard

    def kernels(self) -> Sequence[Tensor]:
        """Both factors of the connections."""
        return [self.into, self.out]
