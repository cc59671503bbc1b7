"""``fitlog.csv`` of a search: every epoch of every member in one table, with the hyperparameters in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lfads_core.track.fitlog import FitLog
from lfads_plugins_tune.search.history import Generation

HP = "hp/"
"""What the column of a hyperparameter begins with; only numbers stand here, words stand in ``search.json``."""


class SearchLog:
    """Appends epochs, in whatever order members report them."""

    def __init__(self, path: Path) -> None:
        self.log = FitLog(path)

    def append(self, place: tuple[int, int, int], values: Mapping[str, Any], row: Mapping[str, float]) -> None:
        """Write one epoch; ``place`` is member, generation, epoch.

        Raises:
            OSError, RunError: the file cannot be written.
        """
        member, generation, epoch = place
        self.log.append(epoch, {"member": member, "generation": generation, **numeric(values), **row})

    def drop(self, generation: int, members: Collection[int]) -> None:
        """Drop the rows of members that carry this generation out again, and all of later ones.

        Raises:
            OSError, RunError: the file cannot be written.
        """
        self.log.keep(lambda row: row["generation"] < generation or (row["generation"] == generation and row["member"] not in members))


def numeric(values: Mapping[str, Any]) -> dict[str, float]:
    """The hyperparameters that are numbers, as columns."""
    numbers = {path: value for path, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    return {f"{HP}{path}": float(value) for path, value in numbers.items()}


def lineage(history: Collection[Generation], member: int) -> dict[int, int]:
    """Whose weights became this member's, by generation: the way back through every exploit."""
    way: dict[int, int] = {}
    at: int | None = member
    for generation in sorted(history, key=lambda g: g.generation, reverse=True):
        record = next((record for record in generation.members if record.member == at), None)
        if record is None:
            continue  # it had ended before
        way[generation.generation] = record.member
        at = record.parent
        if at is None:
            break
    return dict(sorted(way.items()))
