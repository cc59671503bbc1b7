"""How the kernels cut up their work, and weights laid out for it. Needs no Triton."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Num
from torch import Tensor

Products = Literal["ieee", "tf32", "bf16"]
PIECE = 64
"""Weights for tensor cores are padded to so many terms, which a tile's depth divides."""


def up_to(size: int, multiple: int) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def power_of_two(size: int) -> int:
    """The next power of two from 16 on: what the side of a tile must be."""
    return max(16, 1 << (size - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """One launch's choices: trials of a program, terms of one piece of a product, Triton's own two, and the blocks whose weights are held."""

    rows: int
    widest: int
    depth: int
    warps: int
    stages: int
    held: tuple[int, int] = (0, 0)
    """Forwards and backwards: bit i is set where block i of the kernel is read once for all bins, and stays in shared memory or registers."""

    def units(self, size: int) -> int:
        """Side of a tile over ``size`` columns."""
        return min(self.widest, power_of_two(size))

    def grid(self, members: int, trials: int) -> tuple[int, int]:
        """Programs: blocks of trials, members."""
        return max(1, -(-trials // self.rows)), members

    def options(self) -> dict[str, int]:
        """What Triton takes by keyword."""
        return {"num_warps": self.warps, "num_stages": self.stages}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a device has: multiprocessors, and bytes of shared memory that one program may take, about as many as its first-level cache."""

    processors: int
    shared: int


H100 = Card(processors=132, shared=227 * 1024)
SMALLEST = Card(processors=16, shared=99 * 1024)
"""What every card of compute capability 8.0 or more has at least: those of 8.6, 8.9 and 12.0 have no more shared memory."""
SPARE = 8 * 1024
"""Shared memory of a program beside the pieces of weights under way, by the compiler's word."""
WARPS = 8
ONE_LAYER = 2
"""Blocks of weights of a loop of one layer; a closed loop, with two states and factors, has more."""
DEEPEST = 256
"""Terms of a block that may be held: the states of 16 trials then take 16 registers of each thread."""

Blocks = tuple[tuple[int, int, int], ...]
"""The blocks of weights of a kernel that could be held: of each its place among the kernel's arguments, terms, columns."""


@functools.cache
def choose_tiles(*, products: Products, widest_layer: int, blocks: tuple[Blocks, Blocks], members: int, trials: int, card: Card) -> Tiles:
    """Choose as an H200 measured it (``bench/results/2026-11-29-h200.md``); ``docs/speed.md`` has the reasons.

    Tensor cores take 16 trials at once. In float32 few trials a program spread a small batch over more multiprocessors: one of a GRU, two
    of a closed loop. Either way, the more programs there are, the more trials should share a weight that is read for each bin anew, above
    all where the weights of one bin do not fit the first-level cache. Weights that are held need not be shared. Eight groups of 32 threads
    serve a program that has a multiprocessor to itself, 16 where one layer is wide, and four where several programs take turns.
    """
    if products == "ieee":
        one_layer, wide = len(blocks[0]) <= ONE_LAYER, 3 * widest_layer**2 * 4 > card.shared * 7 // 8
        rows = _rows(*((1, 8 if wide else 4) if one_layer else (2, 8)), members, trials, card)
        alone = members * -(-trials // rows) <= card.processors
        depth = 8 if not one_layer else 16 if rows <= 2 else 4
        return Tiles(rows=rows, widest=512, depth=depth, warps=4 if not alone else 2 * WARPS if one_layer and wide else WARPS, stages=1)
    rows = _rows(16, 32, members, trials, card)
    few = _on_tensor_cores(16, products, widest_layer, blocks, card)
    all_held = all(held == sum(1 << place for place, _, _ in those) for held, those in zip(few.held, blocks, strict=True))
    return few if rows == 16 or all_held else _on_tensor_cores(rows, products, widest_layer, ((), ()), card)


def _rows(fewest: int, most: int, members: int, trials: int, card: Card) -> int:
    """Trials of a program: twice as many as long as there are more programs than multiprocessors."""
    while fewest < most and members * -(-trials // fewest) > card.processors:
        fewest *= 2
    return fewest


def _on_tensor_cores(rows: int, products: Products, widest_layer: int, blocks: tuple[Blocks, Blocks], card: Card) -> Tiles:
    """As wide as registers allow for the sums, and shared memory for what is read in pieces; then whatever can be held."""
    widest, depth, stages, size = (512, 64, 3, 2) if products == "bf16" else (256, 32, 3, 4)
    widest = widest if rows == 16 else 64
    piece = (stages - 1) * depth * size
    while piece * min(widest, power_of_two(2 * widest_layer)) + SPARE > card.shared:
        widest //= 2
    ahead, back = (_held(those, widest, piece, size, card) for those in blocks)
    return Tiles(rows=rows, widest=widest, depth=depth, warps=WARPS, stages=stages, held=(ahead, back))


def _held(blocks: Blocks, widest: int, piece: int, size: int, card: Card) -> int:
    """Bits of the blocks that a program can hold, the largest first: they stand in shared memory beside pieces of the rest, or pass through it.

    What is multiplied with a block that is held is read whole, so the deepest stay out. Where less than half fits, none is: registers are dear.
    """
    held, taken = 0, 0
    sides = [(place, power_of_two(terms), power_of_two(columns)) for place, terms, columns in blocks]
    for place, deep, wide in sorted(sides, key=lambda side: -side[1] * side[2]):
        need = taken + deep * wide * size
        pieces = piece * max((min(widest, other) for i, _, other in sides if i != place and not held >> i & 1), default=0)
        if deep <= DEEPEST and wide <= widest and need + pieces + SPARE <= card.shared:
            held, taken = held | 1 << place, need
    return held if 2 * taken >= size * sum(deep * wide for _, deep, wide in sides) else 0


def pack(blocks: Num[Tensor, "*M gates N K"], products: Products) -> Num[Tensor, "members deep width"]:
    """Weights as a kernel reads them: terms first, gates side by side; rows padded with zeros to whole eights, for wide loads.

    Tensor cores take whole pieces of terms, so there are rows of zeros too.
    """
    if blocks.dim() == 3:
        blocks = blocks.unsqueeze(0)
    members, gates, outputs, terms = blocks.shape
    rows = terms if products == "ieee" else up_to(terms, PIECE)
    packed = blocks.new_zeros(members, rows, up_to(gates * outputs, 8))
    packed[:, :terms, : gates * outputs].unflatten(-1, (gates, outputs)).copy_(blocks.permute(0, 3, 1, 2))
    return packed


Layout = Callable[..., Sequence[Num[Tensor, "*M gates N K"]]]
"""From a loop's weights to the blocks that its kernels read, in order."""


class Packer:
    """Weights of a loop as all its kernels read them, in two operations: where each number goes is found once for each layout and size."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Tensor, Tensor, tuple[int, ...]]] = {}

    def __call__(self, weights: Sequence[Tensor], layout: Layout, products: Products) -> tuple[Tensor, ...]:
        """Each block (members, deep · width), its members apart by all blocks together; numbers are stored as they are multiplied."""
        like, members = weights[0], weights[0].shape[0] if weights[0].dim() == 3 else 1
        key = layout, tuple(weight.shape[-2:] for weight in weights), members, products, like.dtype, like.device
        if key not in self._known:
            self._known[key] = self._found(weights, layout, products, members)
        zeros, sources, sizes = self._known[key]
        flat = torch.cat([zeros, *(weight.reshape(members, -1) for weight in weights)], dim=1)
        packed = flat.index_select(1, sources)
        blocks: tuple[Tensor, ...] = (packed.to(torch.bfloat16) if products == "bf16" else packed).split(sizes, dim=1)
        return blocks

    @staticmethod
    def _found(weights: Sequence[Tensor], layout: Layout, products: Products, members: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """A zero for each member, and of each packed number the place where it comes from: numbers from 1 on are packed in place of weights."""
        first, numbers = 1, []
        for weight in weights:
            count = weight.shape[-2] * weight.shape[-1]
            numbers.append(torch.arange(first, first + count).view(weight.shape[-2:]))
            first += count
        blocks = [pack(block, products).flatten() for block in layout(*numbers)]
        return weights[0].new_zeros(members, 1), torch.cat(blocks).to(weights[0].device), tuple(block.numel() for block in blocks)


PACKER = Packer()
