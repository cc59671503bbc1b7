"""Contract of a generator: the dynamics of the latent state."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, eq=False)
class GRUWeights:
    """Stacked gates in the order update z, reset r, candidate n (not torch's r, z, n). A leading axis M is allowed."""

    input: Float[Tensor, "*M H3 I"]
    recurrent: Float[Tensor, "*M H3 H"]
    bias: Float[Tensor, "*M H3"]


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratorInfo:
    """What a generator is built for."""

    inputs: int  # UE: inferred inputs, then external ones; may be 0
    size: int  # G, the width of the state: model.generator.hidden
    rng: torch.Generator  # of the first weights
    clip: float = 5.0  # bound on every state, model.cell_clip
    input_scale: float = 1.0  # factor on the first input weights
    recurrent_scale: float = 1.0  # factor on the first recurrent weights


class AbstractGenerator(nn.Module, abc.ABC):
    """A state that moves from bin to bin under inputs, for ONE model; the framework does members of a population.

    Must provide ``step``. The framework maps the initial condition to the width of the state by a trained affine map, bounds every state by
    ``clip``, runs the loop over time with the controller inside, and reads factors out. Must not use chance after it is built, nor keep
    anything between calls.
    """

    population: ClassVar[bool] = False
    """Whether weights and data may carry a leading axis M (:func:`lfads_core.recurrence.reference.affine`); otherwise it is vectorised."""

    @abc.abstractmethod
    def step(self, state: Float[Tensor, "*B G"], inputs: Float[Tensor, "*B UE"]) -> Float[Tensor, "*B G"]:
        """The next state."""

    def start(self, first: Float[Tensor, "*B G"]) -> Float[Tensor, "*B G"]:
        """The state before the first bin, from an affine map of the initial condition."""
        return first

    def run(self, inputs: Float[Tensor, "*B T UE"], state: Float[Tensor, "*B G"], *, clip: float) -> Float[Tensor, "*B T G"]:
        """All states under given inputs, each bounded by ``clip``: the reference loop, unless there is a faster one of the same numbers."""
        states = []
        for here in inputs.unbind(-2):
            state = self.step(state, here).clamp(-clip, clip)
            states.append(state)
        return torch.stack(states, dim=-2)

    def kernels(self) -> Sequence[Tensor]:
        """Matrices that the L2 term counts."""
        return ()

    def gru(self) -> GRUWeights | None:
        """Weights, if ``step`` is that of core's GRU: then the device's fast loops run it, with or without a controller. Else None."""
        return None
