"""A search in MLflow: one run for the search, and below it one for each member."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import statistics
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfads_core.config.flat import flatten
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import unstructure
from lfads_core.files import write_json
from lfads_plugins_tune.mlflow.job import Job
from lfads_plugins_tune.mlflow.process import WriterProcess, place_for
from lfads_plugins_tune.mlflow.settings import track_of
from lfads_plugins_tune.mlflow.store import INSTALL
from lfads_plugins_tune.mlflow.tracker import origin_tags
from lfads_plugins_tune.mlflow.view import View
from lfads_plugins_tune.search.history import Generation
from lfads_plugins_tune.search.labels import is_logarithmic, short_names

log = logging.getLogger(__name__)

CLOSE_SECONDS = 150.0
"""How long the end of a search waits for what is still to be written."""

LOCK_SECONDS = 90.0
"""How much of that is spent on a store that another program holds."""

HP = "hp/"
"""What begins the name of a hyperparameter among metrics and parameters."""

_KEY_FILE = "mlflow.json"
_SEARCH_TAG = "lfads.search"


@dataclass(frozen=True, kw_only=True)
class TrackedMember:
    """One member as it is when tracking begins."""

    member: int
    path: Path  # its run folder
    settings: Mapping[str, Any]  # all of them, nested, as at its start
    hyperparameters: Mapping[str, Any]  # the searched ones at its start, by config path
    epochs: int = 0  # how many of the epochs in its fitlog.csv count


class SearchTrackers:
    """Hands a search's numbers to the writer process. Whatever goes wrong is one warning; nothing raises, nothing waits before the end.

    Everything may be sent again when a search is resumed: what the store has is passed over.
    """

    def __init__(self, folder: Path, writer: WriterProcess | None, key: str) -> None:
        self.name, self._writer, self._key = folder.resolve().name, writer, key
        self._members: list[int] = []
        self._warned = False

    def add(self, member: TrackedMember) -> None:
        """Begin a member's run, or go on with it; epochs of its table that the store lacks are written."""
        self._guard(lambda writer: self._add(writer, member))

    def log(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers of one member; hyperparameters come with :meth:`generation`."""
        numbers = {name: value for name, value in row.items() if not name.startswith(HP)}
        self._guard(lambda writer: writer.log(self._key_of(member), epoch, numbers))

    def generation(self, record: Generation) -> None:
        """Take a generation that is over: each member's score and hyperparameters, and how the search stands.

        A member's are drawn over its epochs, the search's own numbers over generations.
        """
        self._guard(lambda writer: self._generation(writer, record))

    def artifacts(self, paths: Iterable[Path], member: int | None = None) -> None:
        """Take files and folders of the search, or of one member; those that are not there are passed over."""
        there = [path for path in paths if path.exists()]
        self._guard(lambda writer: writer.artifacts(self._key if member is None else self._key_of(member), there))

    def best(self, member: int, scores: Mapping[str, float] | None = None) -> None:
        """Mark the best member; ``scores`` are those of its final outputs."""
        self._guard(lambda writer: self._best(writer, member, scores or {}))

    def end(self, member: int, status: str) -> None:
        """Close one member before the search is over: ``finished``, ``interrupted`` or ``failed``. More epochs open it again."""
        self._guard(lambda writer: writer.end(self._key_of(member), status))

    def close(self, status: str) -> None:
        """Have everything written, and wait for that, but not for ever; members that have not ended get this status too."""
        self._guard(lambda writer: writer.close(status, seconds=CLOSE_SECONDS, patience=LOCK_SECONDS))

    @property
    def run_ids(self) -> Mapping[str, str]:
        """MLflow's names of the runs that it has opened, by ours."""
        return {} if self._writer is None else self._writer.run_ids

    def _key_of(self, member: int) -> str:
        return f"{self._key}/m{member:02d}"

    def _guard(self, call: Callable[[WriterProcess], None]) -> None:
        if self._writer is None:
            return
        try:
            call(self._writer)
        except Exception as err:  # noqa: BLE001 - tracking never stops a search
            if not self._warned:
                log.warning("MLflow: could not be written (%s); the search goes on.", err)
            self._warned = True

    def _add(self, writer: WriterProcess, member: TrackedMember) -> None:
        key = self._key_of(member.member)
        tags = origin_tags(member.path, "lfads search") | {_SEARCH_TAG: self.name, "lfads.member": str(member.member)}
        params = flatten(member.settings) | {name: str(value) for name, value in _named(member.hyperparameters).items()}
        name = f"{member_name(member.member)} · {self.name}"  # pages cut the end off, and it is the number that tells members apart
        started = writer.started - member.member  # a millisecond apart, and the pages have them in order: the latest comes first
        writer.open(Job(run_name=name, key=key, started=started, params=params, tags=tags, parent=self._key))
        self._members.append(member.member)
        if member.epochs > 0:
            writer.refill(key, member.path / "fitlog.csv", member.epochs)

    def _generation(self, writer: WriterProcess, record: Generation) -> None:
        last = record.epochs - 1
        for member in record.members:
            key = self._key_of(member.member)
            numbers, words = _told_apart(member.hyperparameters)
            writer.log(key, record.first_epoch, numbers)  # both ends, so that a curve shows steps
            writer.log(key, last, numbers if member.score is None else {**numbers, "score": member.score})
            if words:
                writer.tags(key, words)
        writer.log(self._key, record.generation, _summary(record))

    def _best(self, writer: WriterProcess, member: int, scores: Mapping[str, float]) -> None:
        for other in self._members:
            writer.tags(self._key_of(other), {"lfads.best": "true" if other == member else "false"})
        writer.tags(self._key, {"lfads.best_member": member_name(member)}, {"lfads.best_run": self._key_of(member)})
        if scores:
            writer.log(self._key, 0, {f"best/{name}": value for name, value in scores.items()})


def open_search_trackers(
    folder: Path,
    config: RunConfig,
    members: Sequence[TrackedMember],
    *,
    kind: str,
    score: str = "valid/recon_smooth",
    settings: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> SearchTrackers:
    """Begin to record a search in MLflow, or go on with it, if the settings want it and MLflow is installed.

    ``kind`` is ``pbt``, ``random`` or ``grid``; ``score`` the column that is judged, after ``-`` if more is better; ``settings``
    are those of the search itself. Never raises. A file in the search's folder keeps the name by which MLflow's runs are found again.
    """
    trackers = SearchTrackers(folder, None, "")
    track = track_of(config)
    if not track.mlflow:
        return trackers
    if importlib.util.find_spec("mlflow") is None:
        log.info("not recorded in MLflow, which is not installed: %s brings it", INSTALL)
        return trackers
    try:
        writer = WriterProcess(place_for(folder.resolve().parent, track.experiment), "search")
        trackers = SearchTrackers(folder, writer, _key(folder))
    except Exception as err:  # noqa: BLE001 - tracking never stops a search
        log.warning("MLflow: could not be written (%s); the search goes on.", err)
        return trackers
    params = flatten(unstructure(config)) | flatten({"search": settings or {}})
    all_tags = origin_tags(folder, f"lfads search {kind}") | {_SEARCH_TAG: trackers.name, "lfads.kind": kind, **(tags or {})}
    writer.open(Job(run_name=trackers.name, key=trackers._key, started=writer.started, params=params, tags=all_tags))  # noqa: SLF001 - its own factory
    writer.view(trackers._key, _view(trackers.name, trackers._key, members, score, writer.started))  # noqa: SLF001
    for member in members:
        trackers.add(member)
    return trackers


def member_name(member: int) -> str:
    """How members are called in MLflow and in figures."""
    return f"m{member:02d}"


def _key(folder: Path) -> str:
    path = folder / _KEY_FILE
    try:
        key = json.loads(path.read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError):
        key = None
    if not isinstance(key, str):
        key = uuid.uuid4().hex
        write_json(path, {"key": key})
    return key


def _named(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters by the names they have in MLflow, whose pages cut long ones off."""
    names = short_names(hyperparameters)
    return {f"{HP}{names[path]}": value for path, value in hyperparameters.items()}


def _told_apart(hyperparameters: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers, which are drawn as curves, and words, which become tags."""
    named = _named(hyperparameters)
    numbers = {name: float(value) for name, value in named.items() if isinstance(value, int | float)}
    return numbers, {name: str(value) for name, value in named.items() if name not in numbers}


def _view(name: str, key: str, members: Sequence[TrackedMember], score: str, time: int) -> View:
    """A view of the search's runs: scores, hyperparameters, and the curve by which members are judged."""
    drawn = [_told_apart(member.hyperparameters)[0] for member in members]
    numbers = sorted({name for values in drawn for name in values})
    return View(
        name=name,
        key=key,
        runs=f"tags.`{_SEARCH_TAG}` = '{name}'",
        table=["score", *numbers, "tag lfads.best"],
        charts={"Search": ["score", score.removeprefix("-")], "Hyperparameters": numbers},
        logarithmic=[name for name in numbers if is_logarithmic(values[name] for values in drawn if name in values)],
        parallel=[*numbers, "score"],
        time=time,
    )


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
