"""Where MLflow keeps the runs of a folder, and what is known of that store without MLflow."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from lfads_core.errors import RunError
from lfads_core.locks import NoLocksError, TakenError, taking

URI_VARIABLE = "MLFLOW_TRACKING_URI"
INSTALL = 'pip install "lfads-core[track]"'


class StoreError(Exception):
    """A store that cannot be written: what is wrong, and what to do about it; ``passing`` if it may pass by itself."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, kw_only=True)
class ExperimentAddress:
    """The store and the experiment in it; plain values only, because it travels as JSON."""

    uri: str
    folder: str | None  # of the runs, when the store is the one beside them; None: the user chose a store
    experiment: str

    @property
    def shown(self) -> str:
        """Where it is, without a password that may stand before the @."""
        return re.sub(r"//[^/@]*@", "//", self.uri)


@dataclass(frozen=True)
class Store:
    """The store beside the runs of one folder: a sqlite file, a folder of files, a lock. ``folder`` is absolute."""

    folder: Path

    @property
    def database(self) -> Path:
        """Experiments, runs, parameters, metrics."""
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Files of the runs."""
        return self.folder / "mlartifacts"

    @property
    def uri(self) -> str:
        """What MLflow calls the database.

        Raises:
            StoreError: the path has a character that means something else in a URI.
        """
        if odd := [c for c in "%?" if c in str(self.folder)]:
            raise StoreError(f"MLflow cannot keep its data in a folder with {odd[0]!r} in its path, got {self.folder}; choose another with --runs")
        return f"sqlite:///{self.database.as_posix()}"

    @property
    def exists(self) -> bool:
        """Whether there is a database; an empty file is none."""
        return self.database.is_file() and self.database.stat().st_size > 0

    def check(self, seconds: float) -> None:
        """Make sure that the database can be written, waiting for at most ``seconds`` while another program holds it.

        MLflow itself waits for minutes, and reports an unreadable file at great length.

        Raises:
            StoreError: it cannot.
        """
        if not self.exists:
            raise StoreError(f"{self.database} is gone; put it back, or leave it to the next run to make a new one")
        try:
            with closing(sqlite3.connect(self.database, timeout=seconds, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        except sqlite3.OperationalError as err:
            if "locked" in str(err):
                raise StoreError(
                    f"{self.database} is locked by another program; close it, and what is missing is written later", passing=True
                ) from err
            raise StoreError(f"{self.database} cannot be written ({err}); see to its folder and disk") from err
        except sqlite3.DatabaseError as err:
            raise StoreError(f"{self.database} is damaged ({err}); move it away, and the next run makes a new one") from err

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Hold the store's lock, for making the database and opening a run; where there are no locks, nothing is held.

        Raises:
            StoreError: another process held it for ``seconds``, or the folder cannot be written.
        """
        path = self.folder / ".mlflow.lock"
        lock: AbstractContextManager[object]
        try:
            lock = taking(path, f"{path} is held by another lfads process; wait for it, or end it", seconds)
        except NoLocksError:
            lock = nullcontext()
        except RunError as err:
            raise StoreError(str(err), passing=isinstance(err, TakenError)) from err
        with lock:
            yield


def store_of(runs: Path) -> Store:
    """The store of a folder of runs."""
    return Store(runs.resolve())


def place_for(runs: Path, experiment: str) -> ExperimentAddress:
    """Where the runs of a folder are recorded: in the sqlite file beside them, or where ``MLFLOW_TRACKING_URI`` says.

    Raises:
        StoreError: MLflow cannot use the folder.
    """
    store, uri = store_of(runs), chosen_uri()
    return ExperimentAddress(uri=uri or store.uri, folder=None if uri else str(store.folder), experiment=experiment)


def chosen_uri() -> str | None:
    """A store that the user has set for all of MLflow in the environment, if any."""
    return os.environ.get(URI_VARIABLE) or None
