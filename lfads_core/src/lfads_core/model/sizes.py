"""Sizes that the data decide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Inferred from the sessions and their read-ins, never typed by a user."""

    encoder_width: int  # D
    encoded_bins: int  # Te
    bins: int  # T
    external: int = 0  # E: external inputs of the generator
    feedback: int = 0  # what the controller hears of the bin before: F, N or nothing
