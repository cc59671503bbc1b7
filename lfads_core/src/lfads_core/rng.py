"""Random streams: every use of chance in a run has its own generator, found again from the run's seed and a name.

Nothing has to be saved to continue a run bit by bit, and adding a use of chance moves no other.
"""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *name: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for one purpose, such as ``stream(seed, "masks", epoch, step)``.

    The state is the first 63 bits of the SHA-256 of the seed and the name; different names give unrelated streams.
    """
    text = "/".join(str(part) for part in (seed, *name))
    state = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    generator = torch.Generator(device=device)
    generator.manual_seed(state)
    return generator
