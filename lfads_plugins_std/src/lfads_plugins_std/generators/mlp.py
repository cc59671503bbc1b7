"""Residual dynamics by a small network, as in work on expressive dynamics (Versteeg et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractGenerator, GeneratorInfo
from lfads_core.model.layers import Affine, normal_parameter
from lfads_core.recurrence.reference import affine
from lfads_plugins_std.model_settings import MLPConfig


class ResidualMLP(AbstractGenerator):
    """``g' = g + a mlp(g, u)``, a network with tanh units: a neural ordinary differential equation in steps of a bin.

    Weights and data may carry an axis M.
    """

    population: ClassVar[bool] = True

    def __init__(self, settings: MLPConfig, info: GeneratorInfo) -> None:
        super().__init__()
        self.change = settings.change
        widths = [info.size, *[settings.hidden] * settings.layers, info.size]
        self.layers = nn.ModuleList([Affine(into, out, info.rng) for into, out in pairwise(widths)])
        with torch.no_grad():
            self._affines()[-1].weight.mul_(info.recurrent_scale)
        self.input = normal_parameter((settings.hidden, info.inputs), info.input_scale / max(info.inputs, 1) ** 0.5, info.rng)

    def step(self, state: Float[Tensor, "*B G"], inputs: Float[Tensor, "*B UE"]) -> Float[Tensor, "*B G"]:
        """The next state."""
        first, *others = self._affines()
        h: Tensor = first(state) + affine(inputs, self.input)
        for layer in others:
            h = layer(torch.tanh(h))
        return state + self.change * h

    def kernels(self) -> Sequence[Tensor]:
        """The matrices that the state goes through."""
        return [layer.weight for layer in self._affines()]

    def _affines(self) -> list[Affine]:
        return [layer for layer in self.layers if isinstance(layer, Affine)]
