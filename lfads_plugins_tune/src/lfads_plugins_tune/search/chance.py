"""Chance of a search: every decision has its own stream, found again from the seed and a name, so that no order of events moves it."""

from __future__ import annotations

import hashlib
import random
from typing import Protocol, runtime_checkable


@runtime_checkable
class Draws(Protocol):
    """What sampling needs of a source of chance."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number from ``a`` to ``b``."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """A whole number from ``start`` to ``stop - 1``."""
        ...


def chance(seed: int, *name: str | int) -> random.Random:
    """The stream for one decision, such as ``chance(seed, "explore", generation, member)``.

    Its state is the SHA-256 of the seed and the name; different names give unrelated streams.
    """
    text = "/".join(str(part) for part in (seed, *name))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
