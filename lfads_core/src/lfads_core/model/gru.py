"""Core's own encoder and generator, ``gru``: the networks of LFADS as published.

Trials and weights may carry a leading population axis M, which every operation leaves alone.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lfads_core.components import AbstractEncoder, AbstractGenerator, EncoderInfo, GeneratorInfo, GRUWeights
from lfads_core.model.layers import GRUParameters
from lfads_core.recurrence.choose import REFERENCE, Recurrence
from lfads_core.recurrence.reference import affine, gru_step


def build_encoder(settings: Any, info: EncoderInfo) -> AbstractEncoder:
    """One GRU forwards, or two of which one reads backwards; all settings are those of the model."""
    del settings
    return ForwardGRU(info) if info.causal else BidirectionalGRU(info)


def build_generator(settings: Any, info: GeneratorInfo) -> AbstractGenerator:
    """A GRU; all settings are those of the model."""
    del settings
    return GRUGenerator(info)


class BidirectionalGRU(AbstractEncoder):
    """Two GRUs over the same input, one backwards, each from a trainable initial state that starts at 0."""

    population: ClassVar[bool] = True
    directions = 2

    def __init__(self, info: EncoderInfo) -> None:
        super().__init__()
        self.size, self.clip, self.loops = info.hidden, info.clip, REFERENCE
        self.h0 = nn.Parameter(torch.zeros(2, info.hidden))
        self.forward_gru = _parameters(info)
        self.backward_gru = _parameters(info)

    def forward(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "2 *B T C"]:
        """States of the forward and the backward GRU, each in the order in which it reads; both run in one loop, as two members."""
        return self.loops.gru(*self._both(x), clip=self.clip).view(2, *x.shape[:-1], -1)

    def summary(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "*B C2"]:
        """State of either GRU after the last bin that it reads, side by side."""
        ahead, back = self.loops.last(*self._both(x), clip=self.clip).view(2, *x.shape[:-2], -1).unbind(0)
        return torch.cat([ahead, back], dim=-1)

    def _both(self, x: Float[Tensor, "*B T D"]) -> tuple[Tensor, Tensor, GRUWeights]:
        """Input, first states and weights of both GRUs as members of a population."""
        one, other = self.forward_gru.weights(), self.backward_gru.weights()
        pairs = Pairs.apply(one.input, other.input, one.recurrent, other.recurrent, one.bias, other.bias)  # type: ignore[no-untyped-call]
        weights = GRUWeights(input=pairs[0].flatten(0, -3), recurrent=pairs[1].flatten(0, -3), bias=pairs[2].flatten(0, -2))
        h0 = self.h0.movedim(-2, 0).unsqueeze(-2).expand(2, *x.shape[:-2], -1).flatten(0, -3)
        return torch.stack([x, x.flip(-2)]).flatten(0, -4), h0, weights

    def kernels(self) -> list[Tensor]:
        """Both recurrent matrices."""
        return [self.forward_gru.recurrent, self.backward_gru.recurrent]

    def use(self, loops: Recurrence) -> None:
        """Read with these loops from now on."""
        self.loops = loops


class ForwardGRU(AbstractEncoder):
    """One GRU from the first bin to the last, from a trainable initial state that starts at 0."""

    population: ClassVar[bool] = True
    directions = 1

    def __init__(self, info: EncoderInfo) -> None:
        super().__init__()
        self.size, self.clip, self.loops = info.hidden, info.clip, REFERENCE
        self.h0 = nn.Parameter(torch.zeros(info.hidden))
        self.forward_gru = _parameters(info)

    def forward(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "1 *B T C"]:
        """States of all bins."""
        h0 = self.h0.unsqueeze(-2).expand(*x.shape[:-2], -1)
        return self.loops.gru(x, h0, self.forward_gru.weights(), clip=self.clip).unsqueeze(0)

    def listen(self, x: Float[Tensor, "B D"], memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """One step from the state before, which is all there is to remember."""
        w = self.forward_gru
        h = self.h0.expand(len(x), -1) if memory is None else memory
        h = gru_step(affine(x, w.input, w.bias), h, w.recurrent, self.clip)
        return h, h

    def kernels(self) -> list[Tensor]:
        """The recurrent matrix."""
        return [self.forward_gru.recurrent]

    def use(self, loops: Recurrence) -> None:
        """Read with these loops from now on."""
        self.loops = loops


class GRUGenerator(AbstractGenerator):
    """The generator GRU, whose loops are those of the device."""

    population: ClassVar[bool] = True

    def __init__(self, info: GeneratorInfo) -> None:
        super().__init__()
        self.clip = info.clip
        made = GRUParameters(info.inputs, info.size, info.rng, joint_scale=False, scales=(info.input_scale, info.recurrent_scale))
        self.input, self.recurrent, self.bias = made.input, made.recurrent, made.bias

    def step(self, state: Float[Tensor, "*B G"], inputs: Float[Tensor, "*B UE"]) -> Float[Tensor, "*B G"]:
        """One step of the LFADS GRU."""
        return gru_step(affine(inputs, self.input, self.bias), state, self.recurrent, self.clip)

    def kernels(self) -> list[Tensor]:
        """The recurrent matrix."""
        return [self.recurrent]

    def gru(self) -> GRUWeights:
        """The plain tensors the loops take."""
        return GRUWeights(input=self.input, recurrent=self.recurrent, bias=self.bias)


def _parameters(info: EncoderInfo) -> GRUParameters:
    return GRUParameters(info.width, info.hidden, info.rng, joint_scale=True, scales=(info.scale, info.scale))


class Pairs(torch.autograd.Function):
    """Each two tensors of one shape along a first axis, of all pairs by one copy."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Lay all side by side; pairs are parts of that."""
        del ctx
        flat = torch.cat([tensor.flatten() for tensor in tensors]).split([2 * tensor.numel() for tensor in tensors[::2]])
        return tuple(part.view(2, *tensor.shape) for part, tensor in zip(flat, tensors[::2], strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        """Each takes its own."""
        del ctx
        return tuple(part for grad in grads for part in grad.unbind(0))
