"""The decisions of a search that need no model: who meets whom, who wins, and when improvement has ended. Scores here: lower is better."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Duel:
    """One meeting: the loser goes on from the winner."""

    loser: int
    winner: int


def tournament(scores: Mapping[int, float], rng: random.Random) -> list[Duel]:
    """Let members meet in pairs, in random order; with an odd number the one in the middle sits out.

    The order is shuffled, and the first half meets the last half, position by position. The first of a pair wins only if its
    score is strictly lower: in a tie the second does.
    """
    order = list(scores)
    if len(order) < 2:
        return []
    rng.shuffle(order)
    half = len(order) // 2
    pairs = zip(order[:half], order[-half:], strict=True)
    return [Duel(loser=second, winner=first) if scores[first] < scores[second] else Duel(loser=first, winner=second) for first, second in pairs]


def better_of_two(scores: Mapping[int, float], rng: random.Random) -> int:
    """Draw two members, or the one there is, and take the better."""
    drawn = rng.sample(sorted(scores), min(2, len(scores)))
    return min(drawn, key=lambda member: (scores[member], member))


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """Whether the best score still falls: ``(oldest - least) / mean |score|`` over the last generations, the best score of each."""

    patience: int  # generations that are looked at
    least: float | None  # share that must be exceeded; None: always
    window: tuple[float, ...] = ()

    def update(self, scores: Sequence[float]) -> Improvement:
        """Take in one generation."""
        return replace(self, window=(*self.window, min(scores))[-self.patience :])

    @property
    def ended(self) -> bool:
        """Whether there was too little of it."""
        if self.least is None or len(self.window) < self.patience:
            return False
        size = sum(map(abs, self.window)) / len(self.window)
        gain = self.window[0] - min(self.window)
        return gain <= self.least * size


def targets(total: int, interval: int, burn_in: int) -> list[int]:
    """Epochs in total at which each generation ends: every ``interval``, so laid that one ends with the burn-in, and at last ``total``."""
    first = burn_in % interval or interval
    return [*range(first, total, interval), total]
