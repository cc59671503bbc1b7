"""What MLflow is to have of a search: one run for the search, and below it one for each member."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfads_core.config.flat import flatten
from lfads_core.errors import RunError
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.records import (
    RunRecord,
    artifacts_of,
    changed,
    evaluation_of,
    final,
    how_ended,
    how_many,
    origin_tags,
    settings_of,
    version_tags,
)
from lfads_plugins_tune.mlflow.table_tail import Row, TableTail
from lfads_plugins_tune.mlflow.view import View
from lfads_plugins_tune.search.history import JOURNAL, Generation
from lfads_plugins_tune.search.labels import is_logarithmic, short_names
from lfads_plugins_tune.search.paths import laid_on
from lfads_plugins_tune.search.starts import member_folder
from lfads_plugins_tune.search.state import Member, SearchState, read_state
from lfads_plugins_tune.search.table import HP

SEARCH_TAG, KEY_TAG = "lfads.search", "lfads.search_key"
"""The search's name, and what tells two of one name apart."""


class SearchFiles:
    """Looks at the folder of a search."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.name, self._key = folder, folder.resolve().name, key
        self._settings, self._tail = settings_of(folder), TableTail(folder / "fitlog.csv")
        self._told = 0  # generations that were
        self._read_at = -1
        self._state: SearchState | None = None

    def look(self, ended: str | None) -> list[RunRecord]:
        """The search and its members as they are now; ``ended`` as for a run.

        Raises:
            RunError: the journal cannot be read.
        """
        state = self._journal()
        rows: dict[int, list[Row]] = {member.member: [] for member in state.members}
        for epoch, row in self._tail.rows():
            numbers = {name: value for name, value in row.items() if not name.startswith(HP) and name not in {"member", "generation"}}
            rows.setdefault(int(row["member"]), []).append((epoch, numbers))
        fresh, self._told = state.history[self._told :], len(state.history)
        for generation in fresh:
            for record in generation.members:
                steps, _ = _told_apart(record.hyperparameters)
                score = {} if record.score is None else {"score": record.score}
                # both ends, so that a curve shows steps
                rows[record.member] += [(generation.first_epoch, steps), (generation.epochs - 1, {**steps, **score})]
        status = how_ended({"status": state.status, "error": state.error}, ended)
        search = self._search(state, status, [(generation.generation, _summary(generation)) for generation in fresh])
        return [search, *(self._member(state, member, status, rows[member.member]) for member in state.members)]

    def _journal(self) -> SearchState:
        at = (self.folder / JOURNAL).stat().st_mtime_ns if (self.folder / JOURNAL).exists() else -1
        if self._state is None or at != self._read_at:
            self._state, self._read_at = read_state(self.folder), at
        return self._state

    def _search(self, state: SearchState, status: str | None, rows: Sequence[Row]) -> RunRecord:
        search = {**(self._settings.get("search") or {}), "kind": state.kind, "score": state.score, "executor": state.executor}
        best = state.best
        files = [] if status is None or how_many(self._settings) == "none" else [*map(self.folder.joinpath, ("config.yaml", JOURNAL, "fitlog.csv"))]
        started = changed(self.folder / "config.yaml")
        return RunRecord(
            key=self._key,
            name=self.name,
            path=self.folder,
            started=started,
            params=flatten({**self._settings, "search": search}),
            tags={
                **origin_tags(self.folder, f"lfads search {state.kind}"),
                **self._names(),
                "lfads.kind": state.kind,
                **version_tags({"versions": state.versions}),
                **({} if best is None else {"lfads.best_member": member_name(best.member)}),
            },
            rows=rows,
            numbers=(0, {} if best is None else final(best.scores)),
            links={} if best is None else {"lfads.best_run": self._key_of(best.member)},
            view=self._view(state, started),
            files=[*files, *([self.folder / "plots"] if files else [])],
            status=status,
        )

    def _member(self, state: SearchState, member: Member, status: str | None, rows: Sequence[Row]) -> RunRecord:
        first, is_best = _first_values(state, member), state.best is not None and state.best.member == member.member
        tags = {} if state.best is None else {"lfads.best": "true" if is_best else "false"}
        found = _of_best(Run(self.folder / "best"), self._settings, state.status == status == "finished") if is_best else ({}, [])
        words = _told_apart(next((r.hyperparameters for g in reversed(state.history) for r in g.members if r.member == member.member), first))[1]
        seeded = {"train.seed": (self._settings.get("train") or {}).get("seed", 0) + member.member, **first}
        settings, _ = laid_on({name: value for name, value in self._settings.items() if name != "search"}, seeded)
        path = member_folder(self.folder, member.member)
        return RunRecord(
            key=self._key_of(member.member),
            name=member_name(member.member),  # first, for pages cut the end off, and it is the number that tells members apart
            path=path,
            started=changed(self.folder / "config.yaml") - member.member,  # a millisecond apart, and the pages have them in order: the latest first
            params=flatten(settings) | {name: str(value) for name, value in _named(first).items()},
            tags={**origin_tags(path, "lfads search"), **self._names(), "lfads.member": str(member.member), **words, **tags},
            parent=self._key,
            rows=rows,
            numbers=(state.targets[-1], found[0]),
            files=found[1],
            status="failed" if status is not None and member.status in {"failed", "lost"} else status,
        )

    def _names(self) -> dict[str, str]:
        return {SEARCH_TAG: self.name, KEY_TAG: self._key}

    def _key_of(self, member: int) -> str:
        return f"{self._key}/m{member:02d}"

    def _view(self, state: SearchState, time: int) -> View:
        """A view of the search's runs: scores, hyperparameters, and the curve by which members are judged."""
        drawn = [_told_apart(_first_values(state, member))[0] for member in state.members]
        numbers = sorted({name for values in drawn for name in values})
        return View(
            name=self.name,
            key=self._key,
            runs=f"tags.`{KEY_TAG}` = '{self._key}'",
            table=["score", *numbers, "tag lfads.best"],
            charts={"Search": ["score", state.score.removeprefix("-")], "Hyperparameters": numbers},
            logarithmic=[name for name in numbers if is_logarithmic(values[name] for values in drawn if name in values)],
            parallel=[*numbers, "score"],
            time=time,
        )


def member_name(member: int) -> str:
    """How members are called in MLflow and in figures."""
    return f"m{member:02d}"


def _of_best(run: Run, settings: Mapping[str, Any], ended: bool) -> tuple[Mapping[str, float], list[Path]]:
    """What the run folder of the best member adds to the member: what an evaluation has found, and files."""
    try:
        (_, numbers), found = evaluation_of(run.read_state(), settings)
    except RunError:
        return {}, []
    return numbers, [*artifacts_of(run, settings), *found] if ended else []


def _first_values(state: SearchState, member: Member) -> Mapping[str, Any]:
    return next((r.hyperparameters for g in state.history for r in g.members if r.member == member.member), member.values)


def _named(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters by the names they have in MLflow, whose pages cut long ones off."""
    names = short_names(hyperparameters)
    return {f"{HP}{names[path]}": value for path, value in hyperparameters.items()}


def _told_apart(hyperparameters: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers, which are drawn as curves, and words, which become tags."""
    named = _named(hyperparameters)
    numbers = {name: float(value) for name, value in named.items() if isinstance(value, int | float)}
    return numbers, {name: str(value) for name, value in named.items() if name not in numbers}


def _summary(record: Generation) -> dict[str, float]:
    scores = [member.score for member in record.members if member.score is not None]
    row = {
        "epochs": float(record.epochs),
        "members/done": float(len(scores)),
        "members/diverged": float(sum(member.status == "diverged" for member in record.members)),
        "members/failed": float(sum(member.status == "failed" for member in record.members)),
        "members/copied": float(sum(member.parent not in {None, member.member} for member in record.members)),
    }
    if record.best is not None:
        finite = [score for score in scores if math.isfinite(score)] or scores
        row |= {"score/best": min(finite), "score/median": statistics.median(finite), "score/worst": max(finite)}
        row["best/member"] = float(record.best.member)
    return row
