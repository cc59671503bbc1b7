"""Random streams: every use of chance in a run has its own generator, found again from the run's seed and a name.

Nothing has to be saved to continue a run bit by bit, and adding a use of chance moves no other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def stream(seed: int, *name: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for one purpose, such as ``stream(seed, "masks", epoch, step)``.

    The state is the first 63 bits of the SHA-256 of the seed and the name; different names give unrelated streams.
    """
    text = "/".join(str(part) for part in (seed, *name))
    state = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    generator = torch.Generator(device=device)
    generator.manual_seed(state)
    return generator


@dataclass(frozen=True)
class Streams:
    """A population's generators, in the place of one: each draws the same share of the first axis that it would draw for its member alone."""

    each: tuple[torch.Generator, ...]


def bernoulli(probability: float, like: Tensor, rng: torch.Generator | Streams) -> Tensor:
    """Zeros and ones, shaped, typed and placed as ``like``, each 1 with the given probability to within 2^-17.

    Sixteen random bits decide each value, so that one draw of the generator serves four: masks are the most numerous draws of a step.
    """
    rngs = rng.each if isinstance(rng, Streams) else (rng,)
    (found,) = masks([probability] * len(rngs), [(like.numel() // len(rngs),)], like, rngs)
    return found.reshape(like.shape)


def masks(
    probabilities: Sequence[float], shapes: Sequence[Sequence[int]], like: Tensor, rngs: Sequence[torch.Generator], *, whole: bool = False
) -> list[Tensor]:
    """:func:`bernoulli` for several shapes and members at once, as tensors of (members, *shape): one draw of each member's generator for all shapes.

    Every shape begins with bits of its own, so that masks are those of one draw for each. ``whole`` divides ones by their probability.
    """
    limits = [round(probability * 2**16) - 2**15 - 1 for probability in probabilities]
    if max(limits) < -(2**15):
        return [like.new_zeros(len(rngs), *shape) for shape in shapes]
    counts = [math.prod(shape) for shape in shapes]
    fours = [(count + 3) // 4 for count in counts]
    bits = torch.empty(len(rngs), sum(fours), dtype=torch.int64, device=like.device)
    for row, rng in zip(bits, rngs, strict=True):
        row.random_(-(2**63), None, generator=rng)
    chosen = bits.view(torch.int16)
    numbers = torch.le(chosen, per_row(limits, torch.int32, like.device), out=chosen).to(like.dtype)  # booleans take three times as long
    if whole:
        numbers.div_(per_row(probabilities, like.dtype, like.device))
    parts = numbers.split([4 * four for four in fours], dim=1)
    return [part[:, :count].unflatten(1, tuple(shape)) for part, count, shape in zip(parts, counts, shapes, strict=True)]


def per_row(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> float | Tensor:
    """One number for each row; a plain one where all are equal."""
    return values[0] if len(set(values)) == 1 else torch.tensor(values, dtype=dtype).to(device, non_blocking=True).unsqueeze(1)


NORMALS_AT_ONCE = 16
"""A CPU makes normal numbers so many at a time: draws of whole multiples follow one another as if they were one draw."""


def normals(shapes: Sequence[Sequence[int]], like: Tensor, rngs: Sequence[torch.Generator]) -> list[Tensor]:
    """Standard normal numbers of several shapes and members, as tensors of (members, *shape), those of one draw for each shape.

    On a GPU one draw of each member's generator serves all shapes; on a CPU it does where that gives the same numbers.
    """
    counts = [math.prod(shape) for shape in shapes]
    at_once = like.device.type != "cpu" or not any(count % NORMALS_AT_ONCE for count in counts)
    flat = torch.empty(len(rngs), sum(counts), dtype=like.dtype, device=like.device)
    parts = flat.split(counts, dim=1)
    for i, rng in enumerate(rngs):
        for part in (flat,) if at_once else parts:
            part[i].normal_(generator=rng)
    return [part.unflatten(1, tuple(shape)) for part, shape in zip(parts, shapes, strict=True)]
