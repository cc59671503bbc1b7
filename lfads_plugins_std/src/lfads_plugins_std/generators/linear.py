"""Linear dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractGenerator, GeneratorInfo
from lfads_core.model.layers import normal_parameter
from lfads_core.recurrence.reference import affine
from lfads_plugins_std.model_settings import LinearDynamicsConfig


class LinearDynamics(AbstractGenerator):
    """``g' = A g + B u + b``. Weights and data may carry an axis M."""

    population: ClassVar[bool] = True

    def __init__(self, settings: LinearDynamicsConfig, info: GeneratorInfo) -> None:
        super().__init__()
        noise = normal_parameter((info.size, info.size), info.recurrent_scale / info.size**0.5, info.rng)
        kept = settings.persistence
        self.recurrent = nn.Parameter(kept * torch.eye(info.size) + (1 - kept) * noise.detach())
        self.input = normal_parameter((info.size, info.inputs), info.input_scale / max(info.inputs, 1) ** 0.5, info.rng)
        self.bias = nn.Parameter(torch.zeros(info.size))

    def step(self, state: Float[Tensor, "*B G"], inputs: Float[Tensor, "*B UE"]) -> Float[Tensor, "*B G"]:
        """The next state."""
        return affine(state, self.recurrent, self.bias) + affine(inputs, self.input)

    def kernels(self) -> Sequence[Tensor]:
        """A."""
        return [self.recurrent]
