"""Random streams: every use of chance in a run has its own generator, found again from the run's seed and a name.

Nothing has to be saved to continue a run bit by bit, and adding a use of chance moves no other.
"""

from __future__ import annotations

import hashlib

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


def bernoulli(probability: float, like: Tensor, rng: torch.Generator) -> Tensor:
    """Zeros and ones, shaped, typed and placed as ``like``, each 1 with the given probability to within 2^-17.

    Sixteen random bits decide each value, so that one draw of the generator serves four: masks are the most numerous draws of a step.
    """
    limit = round(probability * 2**16) - 2**15 - 1
    if limit < -(2**15):
        return torch.zeros_like(like)
    values = like.numel()
    bits = torch.empty((values + 3) // 4, dtype=torch.int64, device=like.device).random_(-(2**63), None, generator=rng)
    chosen = bits.view(torch.int16)[:values]
    return torch.le(chosen, limit, out=chosen).to(like.dtype).view(like.shape)  # as numbers: booleans take three times as long
