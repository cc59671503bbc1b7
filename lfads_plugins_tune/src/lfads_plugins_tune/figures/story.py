"""A search as its figures see it: read once from its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from lfads_core.errors import RunError
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_tune.search.history import Generation, MemberRecord, read_history, read_journal
from lfads_plugins_tune.search.labels import short_names

USUAL_SCORE = "valid/recon_smooth"
"""Column that is judged unless the journal names another."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricCurve:
    """One column of one member over its epochs; NaN where it was not measured."""

    member: int
    epochs: Int[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """A search: its generations, its table of all members, and the column it judges by."""

    name: str
    generations: Sequence[Generation]
    table: Mapping[str, Sequence[float]]
    column: str
    sign: float  # -1 where more is better: scores are the negative of the column then
    chosen: int | None = None  # the member that the search has copied out as its best, once it has

    @property
    def members(self) -> list[int]:
        """Numbers of all members that ever were, in order."""
        return sorted({record.member for generation in self.generations for record in generation.members})

    @property
    def names(self) -> dict[str, str]:
        """Short names of the hyperparameters, by config path."""
        return short_names(dict.fromkeys(path for generation in self.generations for record in generation.members for path in record.hyperparameters))

    @property
    def final(self) -> dict[int, float]:
        """Each member's last score, as the column has it; members that never had one are missing."""
        scores = {}
        for generation in self.generations:
            scores.update({record.member: score for record in generation.members if (score := self.shown(record)) is not None})
        return scores

    def shown(self, record: MemberRecord) -> float | None:
        """A record's score as the column has it; None if there is none that can be drawn."""
        return None if record.score is None or not math.isfinite(record.score) else self.sign * record.score

    @property
    def best(self) -> int | None:
        """The member that was copied out, or else the best of the last generation in which any was done."""
        if self.chosen is not None:
            return self.chosen
        best = [generation.best for generation in self.generations]
        return next((record.member for record in reversed(best) if record is not None), None)

    def ranked(self) -> list[int]:
        """Members by their last score, the best first; those without one come last."""
        return sorted(self.members, key=lambda member: (self.sign * self.final.get(member, self.sign * math.inf), member))

    def curves(self, column: str) -> list[MetricCurve]:
        """One column of the table, member by member; empty if the table lacks it."""
        if column not in self.table:
            return []
        member, epoch, values = (np.asarray(self.table[name], dtype=float) for name in ("member", "epoch", column))
        curves = []
        for number in self.members:
            rows = np.flatnonzero(member == number)
            rows = rows[np.argsort(epoch[rows], kind="stable")]
            curves.append(MetricCurve(member=number, epochs=epoch[rows].astype(int), values=values[rows]))
        return curves

    def way_to(self, member: int) -> dict[int, int]:
        """Which member carried, generation by generation, the weights that this one ended with."""
        way: dict[int, int] = {}
        at: int | None = member
        for generation in reversed(self.generations):
            record = record_of(generation, at)
            if record is None:
                continue
            way[generation.generation] = record.member
            if record.parent is None:
                break
            at = record.parent
        return way


def read_story(folder: Path) -> Story:
    """Read a search's journal and table.

    Raises:
        RunError: the folder holds no search, none of its generations is over, or a file of it is damaged.
    """
    generations = read_history(folder)
    if not generations:
        raise RunError(f"{folder}: figures need a generation that is over, got none. Wait for the first one.")
    journal = read_journal(folder)
    score = str(journal.get("score", USUAL_SCORE))
    fitlog = folder / "fitlog.csv"
    table = read_fitlog(fitlog) if fitlog.exists() else {}
    if not {"member", "generation"} <= set(table):
        table = {}
    return Story(
        name=folder.resolve().name,
        generations=generations,
        table=table,
        column=score.removeprefix("-"),
        sign=-1.0 if score.startswith("-") else 1.0,
        chosen=(journal.get("best") or {}).get("member"),
    )


def record_of(generation: Generation, member: int | None) -> MemberRecord | None:
    """A member's record in a generation."""
    return next((record for record in generation.members if record.member == member), None)
