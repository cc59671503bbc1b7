"""Conditions of trials as figures show them: a colour and a name each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Real, Shaped

from lfads_plugins_std.figures.figure import colours_of
from lfads_plugins_std.figures.units import spread_out


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Trials that belong together."""

    index: Int[np.ndarray, " B"]  # the group of each trial; -1: not shown
    labels: Sequence[str]

    @property
    def rows(self) -> list[Int[np.ndarray, " _"]]:
        """Trials of each group."""
        return [np.flatnonzero(self.index == k) for k in range(len(self.labels))]

    @property
    def colours(self) -> list[Any]:
        """A colour for each group."""
        return colours_of(len(self.labels))


def all_together(trials: int, label: str = "") -> Groups:
    """One group of all trials."""
    return Groups(index=np.zeros(trials, dtype=np.int64), labels=[label])


def groups_by(values: Shaped[np.ndarray, " B"], most: int) -> tuple[Int[np.ndarray, " B"], Shaped[np.ndarray, " K"]]:
    """Each trial's group (-1: not shown), and the values that make a group: at most so many, evenly spread."""
    every = np.unique(values)
    kept = every[spread_out(len(every), most)]
    place = np.searchsorted(kept, values).clip(max=len(kept) - 1)
    return np.where(kept[place] == values, place, -1), kept


def groups_of_numbers(conditions: Real[np.ndarray, " B"], most: int) -> Groups:
    """Groups named by their numbers."""
    index, kept = groups_by(conditions, most)
    return Groups(index=index, labels=[f"{number:g}" for number in kept])
