"""Weights that grow over epochs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ramps:
    """The weights of one epoch, each from 0 to 1."""

    kl: float
    l2: float


def ramp(epoch: int, start_epoch: int, increase_epochs: int) -> float:
    """Linear growth from 0 to 1, ``clamp((epoch + 1 - start) / (increase + 1), 0, 1)``; epochs count from 0."""
    return min(max((epoch + 1 - start_epoch) / (increase_epochs + 1), 0.0), 1.0)
