"""What MLflow is to have of a run, told by the files that it writes anyway: ``run.json``, ``config.yaml``, ``fitlog.csv``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfads_core.config.flat import flatten
from lfads_core.config.yaml_io import read_yaml
from lfads_core.errors import RunError
from lfads_core.files import read_json, write_json
from lfads_core.runs import Run
from lfads_plugins_tune.mlflow.settings import Artifacts
from lfads_plugins_tune.mlflow.table_tail import Row, TableTail
from lfads_plugins_tune.mlflow.view import View
from lfads_plugins_tune.search.history import JOURNAL

KEY_FILE = "mlflow.json"
"""Keeps the name by which a search is found again; a run's stands in its ``run.json``."""

NOTE = "mlflow.note.content"
"""Tag that MLflow shows as a run's description."""

ENDS = ("finished", "interrupted", "failed")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One of MLflow's runs as the files tell it."""

    key: str  # our own name of it, by which it is found again
    name: str
    path: Path
    started: int  # milliseconds since 1970
    params: Mapping[str, str]
    tags: Mapping[str, str]
    parent: str | None = None  # key of the record under which it is shown; its name then follows this one's
    rows: Sequence[Row] = ()  # what has come since the last look
    numbers: tuple[int, Mapping[str, float]] = (0, {})  # found out once: an epoch, and values that replace what the store has
    links: Mapping[str, str] = field(default_factory=dict)  # tag -> key of the record whose id it takes
    view: View | None = None
    files: Sequence[Path] = ()
    status: str | None = None  # None while it goes on


def key_of(folder: Path, *, make: bool) -> str | None:
    """The name by which a run or a search is found again in MLflow; ``make`` gives one to those that have none.

    Raises:
        RunError: it cannot be read or kept.
    """
    if not is_search(folder):
        run = Run.open(folder)
        key = run.read_state().get("mlflow_key")
        if isinstance(key, str) or not make:
            return key if isinstance(key, str) else None
        run.update_state(mlflow_key=(key := uuid.uuid4().hex))
        return key
    try:
        key = read_json(folder / KEY_FILE)["key"]
    except (RunError, KeyError):
        key = None
    if not isinstance(key, str) and make:
        write_json(folder / KEY_FILE, {"key": (key := uuid.uuid4().hex)})
    return key if isinstance(key, str) else None


def is_search(folder: Path) -> bool:
    """Whether a folder is that of a search."""
    return (folder / JOURNAL).is_file()


def settings_of(folder: Path) -> dict[str, Any]:
    """All settings of a run or a search, as plain data.

    Raises:
        ConfigError: they cannot be read.
    """
    return dict(read_yaml(folder / "config.yaml").data)


class RunFiles:
    """Looks at the folder of one run."""

    def __init__(self, folder: Path, key: str) -> None:
        self.run, self._key = Run(folder), key
        self._settings, self._tail = settings_of(folder), TableTail(self.run.fitlog)

    def look(self, ended: str | None) -> list[RunRecord]:
        """The run as it is now; ``ended`` says that nobody trains it, and how it ended if the files do not know.

        Raises:
            RunError: ``run.json`` cannot be read.
        """
        run, state = self.run, self.run.read_state()
        status = how_ended(state, ended)
        numbers, found = evaluation_of(state, self._settings)
        files = artifacts_of(run, self._settings) if status == "finished" else []
        return [
            RunRecord(
                key=self._key,
                name=run.name,
                path=run.path,
                started=changed(run.config_path),
                params=flatten(self._settings),
                tags={**origin_tags(run.path, "lfads run"), **version_tags(state), **note_of(state)},
                rows=self._tail.rows(),
                numbers=numbers,
                files=[*files, *found],
                status=status,
            )
        ]


def note_of(state: Mapping[str, Any]) -> dict[str, str]:
    """What went wrong in the training, as ``run.json`` says it, as the description that MLflow shows of a run."""
    found = state.get("findings")
    return {NOTE: "\n\n".join(found.values())} if found else {}


def how_ended(state: Mapping[str, Any], ended: str | None) -> str | None:
    """None while somebody is at work; what the files say, unless whoever wrote them did not come to it."""
    if ended is None:
        return None
    if state.get("status") in ENDS:
        return str(state["status"])
    return "failed" if state.get("error") else ended


def evaluation_of(state: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[tuple[int, Mapping[str, float]], list[Path]]:
    """Numbers and files that were found out about a run when it had ended, if its ``run.json`` knows any.

    Scores of its outputs, which are made otherwise than those of epochs, are ``final/<split>/<metric>``.
    """
    evaluated = state.get("evaluated", {})
    files = [] if how_many(settings) == "none" else [Path(path) for path in evaluated.get("files", [])]
    return (state.get("epochs", 0), {**final(state.get("scores", {})), **evaluated.get("numbers", {})}), files


def final(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores of final outputs by names of their own."""
    return {f"final/{name}": value for name, value in scores.items()}


def how_many(settings: Mapping[str, Any]) -> Artifacts:
    """The setting ``track.artifacts``, of folders that know it."""
    found: Artifacts = (settings.get("track") or {}).get("artifacts", "all")
    return found


def artifacts_of(run: Run, settings: Mapping[str, Any]) -> list[Path]:
    """Files of a run that has ended, as many as the settings want."""
    light, heavy = [run.config_path, run.fitlog, run.plots], [run.checkpoints, *run.outputs]
    return {"all": [*light, *heavy], "light": light, "none": []}[how_many(settings)]


def origin_tags(path: Path, command: str) -> dict[str, str]:
    """Tags that say what made a run and where its folder is."""
    return {"lfads.path": str(path.resolve()), "mlflow.source.name": command, "mlflow.source.type": "LOCAL"}


def version_tags(state: Mapping[str, Any]) -> dict[str, str]:
    """Versions of the packages that train it."""
    return {f"version {name}": str(version) for name, version in (state.get("versions") or {}).items()}


def changed(path: Path) -> int:
    """When a file was written, in milliseconds since 1970; now if it is not there."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return time.time_ns() // 1_000_000
