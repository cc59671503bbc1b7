"""A collection's folder: what lies where, and the record that each of its runs carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lfads_core.errors import RunError
from lfads_core.files import read_json, write_json
from lfads_core.records import fits, read_record
from lfads_core.runs import Run
from lfads_core.wording import listed, near
from lfads_plugins_tune.collection.names import safe
from lfads_plugins_tune.collection.spec import FILE_NAME
from lfads_plugins_tune.search.history import JOURNAL


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run of a collection is. The hashes of a folder never change; where its recordings lie may."""

    dataset: str
    variant: str
    varied: Mapping[str, Any]
    files: Sequence[str]  # relative to the collection's folder
    search: str | None  # the kind of search; None: a single run
    executor: str | None
    settings_hash: str
    data_hash: str
    differences: Mapping[str, Any]  # from the defaults, which is what settings_hash is the hash of

    @property
    def identity(self) -> tuple[str, str]:
        """The hashes of settings and data."""
        return self.settings_hash, self.data_hash


@dataclass(frozen=True)
class CollectedRun:
    """One run of a collection on disk."""

    run: Run

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.run.path.name

    @property
    def record_path(self) -> Path:
        """What the run is."""
        return self.run.path / "entry.json"

    @property
    def job_path(self) -> Path:
        """The last attempt: process, times, how it ended."""
        return self.run.path / "job.json"

    @property
    def lock_path(self) -> Path:
        """Locked as long as a process works on the run."""
        return self.run.path / ".job.lock"

    @property
    def log_path(self) -> Path:
        """What all attempts printed."""
        return self.run.path / "log.txt"

    @property
    def journal_path(self) -> Path:
        """Where a search keeps its state."""
        return self.run.path / JOURNAL

    @property
    def has_begun(self) -> bool:
        """Whether there is a run or a search to go on with."""
        return self.run.state_path.exists() or self.journal_path.exists()

    def record(self) -> Record:
        """Read what the run is.

        Raises:
            RunError: the record is missing or damaged.
        """
        try:
            return read_record(Record, self.record_path)
        except (OSError, ValueError, TypeError) as err:
            raise RunError(
                f"{self.record_path}: must be written by `lfads collection prepare`, got: {err}. Restore it, or remove the folder."
            ) from err

    def write_record(self, record: Record) -> None:
        """Write what the run is."""
        write_json(self.record_path, asdict(record))

    def kept(self) -> set[Path]:
        """What stays when the outputs are deleted."""
        return {self.record_path, self.run.config_path}


def taken(entry: CollectedRun) -> str:
    """What to say when another process works on the run."""
    return f"{entry.run.path}: one process may work on a run, but another one does. Wait for it, or stop it."


@dataclass(frozen=True)
class Collection:
    """Paths of a collection."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> Collection:
        """Find a collection by its folder, or by the file in it.

        Raises:
            RunError: there is none.
        """
        folder = path.parent if path.name == FILE_NAME else path
        if not (folder / FILE_NAME).is_file():
            raise RunError(f"{path}: must be a collection's folder, holding {FILE_NAME}, got none. Make one with `lfads collection new`.")
        return cls(folder)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def spec_path(self) -> Path:
        """What the user writes."""
        return self.path / FILE_NAME

    @property
    def runs_path(self) -> Path:
        """Folder of the runs, with the MLflow store they share."""
        return self.path / "runs"

    @property
    def plan_path(self) -> Path:
        """What the file asked for when it was prepared last."""
        return self.path / "plan.json"

    @property
    def memory_path(self) -> Path:
        """What is known of the recordings."""
        return self.path / "recordings.json"

    @property
    def queue_path(self) -> Path:
        """The queue that works on the collection, or did."""
        return self.path / "queue.json"

    @property
    def queue_lock(self) -> Path:
        """Locked as long as a queue works."""
        return self.path / ".queue.lock"

    @property
    def queue_log(self) -> Path:
        """What a queue in the background prints."""
        return self.path / "queue.log"

    def entry(self, name: str) -> CollectedRun:
        """The run of that name, whether it is there or not."""
        return CollectedRun(Run(self.runs_path / name))

    def entries(self) -> list[CollectedRun]:
        """The runs that the plan asks for, in its order.

        Raises:
            RunError: nothing has been prepared.
        """
        return [self.entry(name) for name in self.planned()]

    def others(self) -> list[CollectedRun]:
        """Runs of former settings or data, which the plan does not ask for any more."""
        wanted = set(self.planned())
        return [entry for entry in self.all() if entry.name not in wanted]

    def all(self) -> list[CollectedRun]:
        """Every run there is, by name."""
        return [CollectedRun(Run(path.parent)) for path in sorted(self.runs_path.glob("*/entry.json"))]

    def planned(self) -> list[str]:
        """Names of the runs that the plan asks for.

        Raises:
            RunError: nothing has been prepared, or the plan is damaged.
        """
        if not self.plan_path.exists():
            raise RunError(f"{self.path}: nothing is prepared yet. Run `lfads collection prepare {self.path}`.")
        try:
            names = read_json(self.plan_path)["runs"]
            if not fits(names, list[str]):
                raise TypeError(f"'runs' cannot be {names!r:.60}")
        except (RunError, KeyError, TypeError) as err:
            raise RunError(f"{self.plan_path}: must be written by `lfads collection prepare`, got: {err!r}. Run it again.") from err
        return [name for name in names if safe(name) == name]

    def chosen(self, names: Sequence[str], among: Sequence[CollectedRun] | None = None) -> list[CollectedRun]:
        """The runs of these names or patterns such as ``day1*``; all without any.

        Raises:
            RunError: a name or pattern fits none.
        """
        import fnmatch

        entries = self.entries() if among is None else list(among)
        if not names:
            return entries
        found: dict[str, CollectedRun] = {}
        for name in names:
            fitting = [entry for entry in entries if fnmatch.fnmatchcase(entry.name, name)]
            if not fitting:
                likely = near(name, [entry.name for entry in entries], cutoff=0.4)
                hint = f"Did you mean {listed(likely)}?" if likely else f"`lfads collection list {self.path}` names them."
                raise RunError(f"{self.path}: RUN must be the name of a run or a pattern, got {name!r}. {hint}")
            found |= {entry.name: entry for entry in fitting}
        return [entry for entry in entries if entry.name in found]
