"""A search whose machines share no folder: recordings and members go through a storage, workers train in scratch folders."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfads_core.errors import RunError
from lfads_core.locks import holding, is_held, taking
from lfads_core.plugins.single_files import FOLDER as PLUGINS
from lfads_plugins_tune.executors.storage import Storage
from lfads_plugins_tune.search.executor import Outcome, Report, Task

if TYPE_CHECKING:
    from lfads_plugins_tune.executors.worker import Trains

MEMBER = ("checkpoints", "start", PLUGINS, "config.yaml", "fitlog.csv", "run.json")
"""What of a member's folder its training reads and writes."""

_MINUTES = 60.0
"""How long workers of one node wait for the one that fetches the recordings."""


class Sender:
    """The driver's end. Its own folders are as they would be with a common one, so that nothing else need know of a storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._recordings: dict[str, str] = {}
        self._members: dict[int, Mapping[str, str]] = {}

    def everything(self, search: Path, recordings: Sequence[Path]) -> dict[str, Mapping[str, str]]:
        """Send recordings, by name, and the plugin files that a search keeps.

        Raises:
            RunError: the storage does not take them.
        """
        plugins = self.storage.send(search, (PLUGINS,))
        data: dict[str, str] = {}
        for path in recordings:
            data |= self.storage.send(path.parent, (path.name,))
        self._recordings = {**data, **plugins}
        return {"data": data, "plugins": plugins}

    def sent(self, task: Task) -> Task:
        """The task with the member's files, which are in the storage."""
        return replace(task, files=self.storage.send(task.path, MEMBER))

    def received(self, outcome: Outcome, folder: Path) -> Outcome:
        """The outcome, once the member's folder here is as the worker left it."""
        if outcome.files is not None:
            self.storage.fetch(folder, outcome.files, MEMBER)
            self._members[outcome.member] = outcome.files
        return outcome

    def sweep(self) -> None:
        """Remove what belongs to no member's present state; nobody may be at work."""
        self.storage.sweep({*self._recordings.values(), *(name for files in self._members.values() for name in files.values())})


class StoredTrainer:
    """A worker's member trainer whose members come from a storage and go back to it."""

    def __init__(self, trainer: Trains, storage: Storage, scratch: Path) -> None:
        self._trainer, self._storage, self._scratch = trainer, storage, scratch

    def groups(self, tasks: Sequence[Task], most: int | None = None) -> list[list[Task]]:
        """Tasks that can be trained as one."""
        return self._trainer.groups(tasks, most)

    def train(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Fetch their folders, train them, and send back what came of each."""
        here = [replace(task, path=self._scratch / f"{task.member:03d}") for task in tasks]
        folders = {task.member: task.path for task in here}
        for task in here:
            task.path.mkdir(exist_ok=True)
            self._storage.fetch(task.path, task.files or {}, MEMBER)
        for outcome in self._trainer.train(here, report, should_stop):
            yield replace(outcome, files=self._storage.send(folders[outcome.member], MEMBER))

    def forget(self) -> None:
        """Hold no member any longer."""
        self._trainer.forget()


@contextmanager
def scratch(key: str) -> Iterator[Path]:
    """A worker's own folder, below one that is this node's for the search. Both go with the last worker, or with the next search if it was killed.

    Raises:
        RunError: it cannot be made.
    """
    home = _home()
    node = home / key
    mine = node / "workers" / uuid.uuid4().hex
    with _alone(home):
        for other in home.iterdir():
            _remove_dead(other)
        mine.mkdir(parents=True)
        lock = taking(mine / ".lock", f"{mine}: must be this worker's own")
    try:
        yield mine
    finally:
        lock.close()
        with contextlib.suppress(RunError), _alone(home):
            _remove_dead(node)


def recordings_here(storage: Storage, node: Path, data: Mapping[str, str]) -> list[Path]:
    """The recordings on this node; the first worker fetches them.

    Raises:
        RunError: they cannot be had.
    """
    folder = node / "data"
    folder.mkdir(exist_ok=True)
    with holding(folder / ".lock", f"{folder}: the recordings must be fetched within {_MINUTES:g} minutes", 60 * _MINUTES):
        storage.fetch(folder, data, sorted({Path(name).parts[0] for name in data}))
    return [folder / name for name in dict.fromkeys(Path(name).parts[0] for name in data)]


def open_scratch(work: Mapping[str, Any], mine: Path) -> tuple[Storage, list[Path]]:
    """The storage and the recordings, on this machine; the plugin files that the search keeps are in this folder then.

    Raises:
        LfadsError: something cannot be had here.
    """
    storage = Storage(work["storage"]["url"], work["key"])
    storage.fetch(mine, work["storage"]["plugins"], (PLUGINS,))
    return storage, recordings_here(storage, mine.parent.parent, work["storage"]["data"])


def _home() -> Path:
    """This user's folder for all of it. In a place where others can write too, it must be nobody else's."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    home = Path(tempfile.gettempdir()) / f"lfads-storage-{user}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
    except OSError as err:
        raise RunError(f"{home}: must be a folder that can be written, got: {err.strerror}. Set TMPDIR to one that can.") from err
    if home.is_symlink() or (hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o077)):
        raise RunError(f"{home}: must be a folder of this user alone, got somebody else's or a link. Remove it, or set TMPDIR.")
    return home


def _alone(home: Path) -> contextlib.AbstractContextManager[None]:
    return holding(home / ".lock", f"{home}: another process has held its lock for a minute", 60.0)


def _remove_dead(node: Path) -> None:
    """Remove the folders of workers that are no more, and the node's when there is none left."""
    if not node.is_dir():
        return
    workers = node / "workers"
    for worker in list(workers.iterdir()) if workers.is_dir() else []:
        if not is_held(worker / ".lock"):
            shutil.rmtree(worker, ignore_errors=True)
    if not workers.is_dir() or not any(workers.iterdir()):
        shutil.rmtree(node, ignore_errors=True)
