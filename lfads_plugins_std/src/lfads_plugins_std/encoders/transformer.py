"""Transformers as encoders (Vaswani et al. 2017), normalised before each part (Xiong et al. 2020)."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractEncoder, EncoderInfo
from lfads_core.model.layers import Affine, normal_parameter
from lfads_core.recurrence.reference import affine
from lfads_plugins_std.model_settings import TransformerConfig

Past = list[tuple[Tensor, Tensor]]
"""Keys and values (B, heads, t, head size) of each block for the bins so far."""


class TransformerEncoder(AbstractEncoder):
    """A stack of attention blocks for each direction; each bin attends to those that its direction has read, itself included."""

    def __init__(self, settings: TransformerConfig, info: EncoderInfo) -> None:
        super().__init__()
        self.size, self.directions = info.hidden, 1 if info.causal else 2
        self.ways = nn.ModuleList([Stack(settings, info) for _ in range(self.directions)])

    def forward(self, x: Float[Tensor, "*B T D"]) -> Float[Tensor, "W *B T C"]:
        """States of each direction, the second of which reads from the last bin on."""
        return torch.stack([way(read)[0] for way, read in zip(self.ways, (x, x.flip(-2)), strict=False)])

    def listen(self, x: Float[Tensor, "B D"], memory: tuple[int, Past] | None) -> tuple[Float[Tensor, "B C"], Any]:
        """The next bin attends to the keys of those before it, of which no more are kept than the window reaches."""
        before, past = (0, None) if memory is None else memory
        state, past = self.ways[0](x.unsqueeze(-2), before, past)
        return state[..., 0, :], (before + 1, past)


class Stack(nn.Module):
    """One direction: ``x -> W x + positions``, blocks, and a last normalisation."""

    def __init__(self, settings: TransformerConfig, info: EncoderInfo) -> None:
        super().__init__()
        self.read = Affine(info.width, info.hidden, info.rng)
        with torch.no_grad():
            self.read.weight.mul_(info.scale)
        self.blocks = nn.ModuleList([Block(settings, info) for _ in range(settings.layers)])
        self.norm = nn.LayerNorm(info.hidden)

    def forward(self, x: Float[Tensor, "*B T D"], before: int = 0, past: Past | None = None) -> tuple[Float[Tensor, "*B T C"], Past]:
        """States of these bins, and the keys and values that those after them may ask for; ``before`` bins have been read already."""
        h = self.read(x)
        h = h + positions(before, x.shape[-2], h)
        kept = []
        for i, block in enumerate(self.blocks):
            h, known = block(h, None if past is None else past[i])
            kept.append(known)
        states: Tensor = self.norm(h)
        return states, kept


class Block(nn.Module):
    """``x + attention(norm x)``, then ``x + network(norm x)``."""

    def __init__(self, settings: TransformerConfig, info: EncoderInfo) -> None:
        super().__init__()
        width, inner = info.hidden, settings.heads * settings.head_size
        self.heads, self.window = settings.heads, settings.window
        self.attention_norm, self.network_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.keys_queries_values = KeysQueriesValues(width, inner, info.rng)
        self.mixed = Affine(inner, width, info.rng)
        self.wide = Affine(width, settings.expansion * width, info.rng)
        self.narrow = Affine(settings.expansion * width, width, info.rng)

    def forward(self, x: Float[Tensor, "*B T C"], past: tuple[Tensor, Tensor] | None) -> tuple[Float[Tensor, "*B T C"], tuple[Tensor, Tensor]]:
        """States, and keys and values of the bins so far that are still in reach."""
        key, query, value = (self._by_head(part) for part in self.keys_queries_values(self.attention_norm(x)).chunk(3, dim=-1))
        if past is not None:
            key, value = (torch.cat([old, new], dim=-2)[..., -(self.window or 0) :, :] for old, new in zip(past, (key, value), strict=True))
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        scores = scores.masked_fill(~within_reach(query.shape[-2], key.shape[-2], self.window, x.device), -torch.inf)
        heard = (torch.softmax(scores, dim=-1) @ value).transpose(-2, -3).flatten(-2)
        x = x + self.mixed(heard)
        return x + self.narrow(torch.nn.functional.gelu(self.wide(self.network_norm(x)))), (key, value)

    def _by_head(self, part: Tensor) -> Tensor:
        apart: Tensor = part.unflatten(-1, (self.heads, -1))
        return apart.transpose(-2, -3)


class KeysQueriesValues(nn.Module):
    """An affine map to all three. Keys have no bias: what is added to all of them changes no attention, so only rounding would ever move it."""

    def __init__(self, inputs: int, each: int, rng: torch.Generator) -> None:
        super().__init__()
        self.each = each
        self.weight = normal_parameter((3 * each, inputs), 1 / math.sqrt(inputs), rng)
        self.bias = nn.Parameter(torch.zeros(2 * each))

    def forward(self, x: Float[Tensor, "*B T C"]) -> Float[Tensor, "*B T O"]:
        """Keys, then queries, then values."""
        return affine(x, self.weight, nn.functional.pad(self.bias, (self.each, 0)))


def positions(before: int, bins: int, like: Float[Tensor, "*B T C"]) -> Float[Tensor, "T C"]:
    """Sines, then cosines, of the number of the bin at wavelengths from 2π to 2π 10⁴ bins; ``before`` bins have been read already."""
    width = like.shape[-1]
    number = torch.arange(before, before + bins, dtype=like.dtype, device=like.device)
    waves = (width + 1) // 2
    angle = number[:, None] * 10_000.0 ** (-torch.arange(waves, dtype=like.dtype, device=like.device) / waves)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :width]


def within_reach(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """Which keys each of the last bins may attend to: its own and those before, at most ``window`` of them."""
    ago = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (ago >= 0) & (ago < (keys if window is None else window))
