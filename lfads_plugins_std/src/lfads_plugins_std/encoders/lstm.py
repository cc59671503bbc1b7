"""Long short-term memories as encoders (Hochreiter & Schmidhuber 1997; forget gates of Gers et al. 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractEncoder, EncoderInfo
from lfads_core.model.layers import normal_parameter
from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.reference import affine
from lfads_plugins_std.model_settings import LSTMConfig

State = tuple[Tensor, Tensor]
"""Output h and cell c."""


class LSTMEncoder(AbstractEncoder):
    """One LSTM for each direction. Weights and data may carry an axis M."""

    population: ClassVar[bool] = True

    def __init__(self, settings: LSTMConfig, info: EncoderInfo) -> None:
        super().__init__()
        self.size, self.directions = info.hidden, 1 if info.causal else 2
        self.ways = nn.ModuleList([LSTM(info, settings.forget_bias) for _ in range(self.directions)])

    def forward(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "W *B T C"]:
        """Outputs of each direction, the second of which reads from the last bin on."""
        return torch.stack([way(read) for way, read in zip(self.ways, (x, x.flip(-2)), strict=False)])

    def listen(self, x: Float[Tensor, "B D"], memory: State | None) -> tuple[Float[Tensor, "B C"], State]:
        """One step of the forward direction."""
        (way, *_) = self._lstms()
        state = way.step(way.drive(x), way.first(x.shape[:-1]) if memory is None else memory)
        return state[0], state

    def kernels(self) -> Sequence[Tensor]:
        """Recurrent matrices."""
        return [way.recurrent for way in self._lstms()]

    def _lstms(self) -> list[LSTM]:
        return [way for way in self.ways if isinstance(way, LSTM)]


class LSTM(nn.Module):
    """One direction, from trainable first states that start at 0.

    ::

        i, f, o = σ(W x + U h + b),  n = tanh(W_n x + U_n h + b_n),  c' = clip(f ⊙ c + i ⊙ n),  h' = o ⊙ tanh(c')

    Gates stand in the order i, f, o, n.
    """

    def __init__(self, info: EncoderInfo, forget_bias: float) -> None:
        super().__init__()
        size, std = info.hidden, info.scale / (info.width + info.hidden) ** 0.5
        self.clip = info.clip
        self.input = normal_parameter((4 * size, info.width), std, info.rng)
        self.recurrent = normal_parameter((4 * size, size), std, info.rng)
        self.bias = nn.Parameter(torch.cat([torch.zeros(size), torch.full((size,), forget_bias), torch.zeros(2 * size)]))
        self.h0, self.c0 = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))

    def forward(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "*B T C"]:
        """Outputs of all bins."""
        drives, state = self.drive(x).unbind(-2), self.first(x.shape[:-2])
        seen = []
        with in_full(x):
            for drive in drives:
                state = self.step(drive, state)
                seen.append(state[0])
        return torch.stack(seen, dim=-2)

    def drive(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B C4"]:
        """The input's share of the gates."""
        return affine(x, self.input, self.bias)

    def first(self, trials: Sequence[int]) -> State:
        """States before the first bin, of trials (B), or (M, B) of a population."""
        h, c = (value.unsqueeze(-2).expand(*trials, -1) for value in (self.h0, self.c0))
        return h, c

    def step(self, drive: Float[Tensor, "*B C4"], state: State) -> State:
        """The next bin."""
        h, c = state
        gates = drive + affine(h, self.recurrent)
        i, f, o = torch.sigmoid(gates[..., : 3 * h.shape[-1]]).chunk(3, dim=-1)
        c = (f * c + i * torch.tanh(gates[..., 3 * h.shape[-1] :])).clamp(-self.clip, self.clip)
        return o * torch.tanh(c), c
