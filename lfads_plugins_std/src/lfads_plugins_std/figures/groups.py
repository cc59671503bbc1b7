"""Conditions of trials as figures show them: a colour and a name each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Real, Shaped

from lfads_core.data.session import Session
from lfads_plugins_std.alignment.condition_names import names_of
from lfads_plugins_std.figures.figure import colours_of
from lfads_plugins_std.figures.units import spread_out
from lfads_plugins_std.metrics.conditions import labels_of

MOST = 16
"""Conditions that are shown, evenly spread."""


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


def groups_by(values: Shaped[np.ndarray, " B"], most: int = MOST) -> tuple[Int[np.ndarray, " B"], Shaped[np.ndarray, " K"]]:
    """Each trial's group (-1: not shown), and the values that make a group: at most so many, evenly spread."""
    every = np.unique(values)
    kept = every[spread_out(len(every), most)]
    place = np.searchsorted(kept, values).clip(max=len(kept) - 1)
    return np.where(kept[place] == values, place, -1), kept


def groups_of_numbers(conditions: Real[np.ndarray, " B"], most: int) -> Groups:
    """Groups named by their numbers."""
    index, kept = groups_by(conditions, most)
    return Groups(index=index, labels=[f"{number:g}" for number in kept])


def groups_of(session: Session, split: str) -> Groups | None:
    """Conditions of a split's trials in the words of its file; None without conditions, or where hardly any trial shares one."""
    extras = session.splits[split].extras
    labels = labels_of(extras)
    if labels is None or len(np.unique(labels)) > len(labels) / 1.5:
        return None
    index, kept = groups_by(labels)
    names = names_of(labels, extras, session.arrays)
    what = str(session.attributes.get("condition_columns", "condition"))
    prefix = "condition" if names is None or "," in what else what
    return Groups(index=index, labels=[f"{prefix} {_spoken(label) if names is None else names[label]}" for label in kept.tolist()])


def _spoken(label: object) -> str:
    return label.decode() if isinstance(label, bytes) else f"{label:g}" if isinstance(label, float) else str(label)
