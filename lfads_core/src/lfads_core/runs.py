"""A run folder: where everything about one training is kept, and under which names."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from lfads_core.errors import ConfigError, RunError
from lfads_core.files import expanded, read_json, write_json
from lfads_core.records import fits
from lfads_core.wording import shown


class Provided(TypedDict):
    """Who offered a component, or a group of settings, that a run was trained with."""

    kind: str
    name: str
    distribution: str
    version: str
    needed: bool  # its results depend on it


class Parent(TypedDict):
    """What was adapted: a folder, and which of its checkpoints."""

    run: str
    checkpoint: str


class FollowedDays(TypedDict):
    """Distances of new sessions from those that they follow, before training and among as many of their own trials."""

    name: str
    to: list[str]
    before: dict[str, float]
    within: dict[str, float]


class Evaluated(TypedDict, total=False):
    """What was found out about a run when it had ended."""

    numbers: dict[str, float]
    files: list[str]


class OfSearch(TypedDict, total=False):
    """Whose best model it is."""

    folder: str
    member: int
    score: float


_KEYS: Mapping[str, tuple[Any, str]] = {
    "status": (str, "a word"),
    "data": (list[str], "a list of paths"),
    "epochs": (int, "a whole number"),
    "scores": (dict[str, float], "numbers by name"),
    "versions": (dict[str, str], "texts by name"),
    "mlflow_key": (str, "a text"),
    "search": (OfSearch, "an object with a folder, a member's number and a score"),
    "plugins": (list[Provided], "a list of objects with kind, name, distribution, version and needed"),
    "adapted_from": (Parent, "the parent's run and checkpoint"),
    "alignment": (FollowedDays, "an object with a name, sessions and distances by session"),
    "findings": (dict[str, str], "texts by name"),
    "threads": (int, "a whole number"),
    "evaluated": (Evaluated, "an object with numbers by name and a list of files"),
    "outcome": (str, "a word"),
}
"""What ``run.json`` holds is asked for its type once, when it is read."""


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The epoch of the best checkpoint, counted from 0 as ``fitlog.csv`` does, and the smoothed validation cost it was judged by."""

    epoch: int
    cost: float


@dataclass(frozen=True)
class Run:
    """Paths of one run, and its small state file ``run.json`` (status, data, versions, tracking ids)."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, numbered: bool = False) -> Run:
        """Make a new folder; ``numbered`` takes ``path-2``, ``path-3`` ... when there is such a folder already.

        Two processes never get the same numbered folder.

        Raises:
            RunError: the folder holds a run already, or cannot be made.
        """
        run = cls(path)
        if not numbered and run.state_path.exists():
            raise RunError(
                f"{path}: a new run needs a folder of its own, but a run is there already. Use --resume to continue it, or another --name."
            )
        if numbered:
            run = cls(free_folder(path))
        run.make_folders()
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Find an existing run.

        Raises:
            RunError: there is no run in that folder, or parts of it are links to elsewhere.
        """
        run = cls(path)
        if not run.state_path.is_file():
            raise RunError(f"{path}: must be a run's folder, holding run.json, got {_what_is_there(path)}. Give a folder that `lfads run` made.")
        run.refuse_links()
        return run

    def make_folders(self) -> None:
        """Make the run's folder and that of its checkpoints, if need be.

        Raises:
            RunError: they cannot be made, or are links to elsewhere.
        """
        self.refuse_links()
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise RunError(f"{self.path}: the run's folder must be writable, got: {err.strerror}. Choose another with --runs.") from err

    def refuse_links(self) -> None:
        """Refuse a run whose own folders are links: what is written and removed there would be somebody else's.

        Raises:
            RunError: one is.
        """
        for folder in (self.checkpoints, self.plots):
            if folder.is_symlink():
                raise RunError(f"{folder}: must be a folder of the run itself, got a link to elsewhere. Put the folder there in its place.")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def config_path(self) -> Path:
        """The resolved settings."""
        return self.path / "config.yaml"

    @property
    def state_path(self) -> Path:
        """Status and provenance."""
        return self.path / "run.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of ``best`` and ``last``."""
        return self.path / "checkpoints"

    @property
    def fitlog(self) -> Path:
        """One row per epoch."""
        return self.path / "fitlog.csv"

    @property
    def plots(self) -> Path:
        """Folder of figures."""
        return self.path / "plots"

    def output(self, session: str) -> Path:
        """Inferred outputs of one session."""
        return self.path / f"lfads_output_{session}.h5"

    @property
    def outputs(self) -> list[Path]:
        """Inferred outputs of every session that has any, by name."""
        return sorted(self.path.glob("lfads_output_*.h5"))

    def read_state(self) -> dict[str, Any]:
        """Contents of ``run.json``.

        Raises:
            RunError: the file is damaged.
        """
        state = read_json(self.state_path, mend="Restore it, or train again.")
        for key, (hint, words) in _KEYS.items():
            if key in state and not fits(state[key], hint):
                raise RunError(f"{self.state_path}: '{key}' must be {words}, got {shown(state[key])}. Restore it, or train again.")
        return state

    @property
    def data(self) -> list[str]:
        """Files, folders and patterns the run was trained on.

        Raises:
            RunError: ``run.json`` does not say.
        """
        data = self.read_state().get("data")
        if not data:
            raise RunError(f"{self.state_path}: must name the run's data as a list of paths under 'data', got {data!r}. Restore it, or train again.")
        return list(data)

    def read_best(self) -> BestEpoch | None:
        """What the best checkpoint says of itself; None where there is none, or it says nothing."""
        try:
            best = read_json(self.checkpoints / "best.json")["state"]["progress"]["best"]
            found = BestEpoch(epoch=int(best["epoch"]), cost=float(best["cost"]))
        except (RunError, ValueError, KeyError, TypeError):
            return None
        return found if found.epoch >= 0 and math.isfinite(found.cost) else None

    def update_state(self, **changes: Any) -> None:
        """Change some entries of ``run.json``."""
        state = self.read_state() if self.state_path.exists() else {}
        write_json(self.state_path, {**state, **changes})


def run_or_best(path: Path) -> Path:
    """The folder itself, or that of the best model if it is a search's."""
    best = path / "best"
    return best if not Run(path).state_path.is_file() and Run(best).state_path.is_file() else path


def running(folder: Path) -> list[Path]:
    """Folders of runs in a folder, or one below, that say they are running, whether or not it is true."""
    found = []
    for state in sorted([*folder.glob("*/run.json"), *folder.glob("*/*/run.json")]):
        try:
            says = Run(state.parent).read_state().get("status")
        except RunError:
            continue
        if says == "running":
            found.append(state.parent)
    return found


def free_folder(path: Path) -> Path:
    """Make ``path`` or, when that is taken, the first free ``path-2``, ``path-3`` ...; two processes never get the same.

    Raises:
        RunError: no folder can be made there.
    """
    numbers, folder = itertools.count(2), path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.mkdir()
            except FileExistsError:
                folder = path.with_name(f"{path.name}-{next(numbers)}")
            else:
                return folder
    except OSError as err:
        raise RunError(f"{path}: the run's folder must be writable, got: {err.strerror}. Choose another with --runs.") from err


def default_name(data: Sequence[str | Path]) -> str:
    """Name after the file, or after the folder of several."""
    first = expanded(data[0])
    plain = not any(c in str(data[0]) for c in "*?[") and len(data) == 1
    return (first.resolve().stem if plain else first.resolve().parent.name) or "run"


def checked_name(name: str) -> str:
    """``name`` if it is one for a folder.

    Raises:
        ConfigError: it is not, or would lead elsewhere.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+ -]{0,99}", name) or name.endswith((".", " ")):
        raise ConfigError(
            f"--name: must be the name of a folder (at most 100 letters, digits and '_-+. ', beginning with a letter or digit), got {shown(name)}. "
            "Give the folder of all runs with --runs."
        )
    return name


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return "a folder without one"
    return "a file" if path.exists() else "nothing"
