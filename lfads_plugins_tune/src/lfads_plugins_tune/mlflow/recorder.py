"""All runs that one process writes to MLflow's store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lfads_plugins_tune.mlflow.client import Client, make_database
from lfads_plugins_tune.mlflow.job import ExperimentAddress, Job
from lfads_plugins_tune.mlflow.recorded import RecordedRun
from lfads_plugins_tune.mlflow.store import Store

MOST_WAITING = 400_000
"""Values kept while the store cannot be written, some 40 MB; beyond, every second waiting epoch is let go."""

MOST_FAULTS = 2
"""One run may be at fault itself, as when somebody deleted it; when a second one fails, the store is taken to be, and the rest is left for later."""

_WAIT_FOR_DATABASE = 5.0
_WAIT_FOR_LOCK = 60.0  # another run may be making the database, which takes seconds


class Recorder:
    """The runs of one training or one search, in the order in which they were added: a parent comes before its members."""

    def __init__(self, place: ExperimentAddress, connect: Callable[[str], Client] = Client) -> None:
        self.place = place
        self.runs: dict[str, RecordedRun] = {}
        self._order: list[str] = []  # a run that could not be written goes last, and holds up no other
        self._store = Store(Path(place.folder)) if place.folder is not None else None
        self._connect_to = connect
        self._client: Client | None = None
        self._experiment = ""

    def add_run(self, job: Job) -> None:
        """Take a run; its parent must be there already."""
        self.runs[job.key] = RecordedRun(job)
        self._order.append(job.key)

    @property
    def ids(self) -> Mapping[str, str]:
        """MLflow's ids of the runs that have been opened, by our keys."""
        return {key: run.run_id for key, run in self.runs.items() if run.run_id is not None}

    def end(self, status: str, time: int) -> None:
        """Give every run that has not ended its final status."""
        for run in self.runs.values():
            if run.status is None:
                run.end(status, time)

    def thin(self) -> bool:
        """Let go of waiting epochs if there are too many; True if there were."""
        waiting = sum(run.waiting for run in self.runs.values())
        if waiting <= MOST_WAITING:
            return False
        for run in self.runs.values():
            run.thin()
        return True

    def write(self) -> None:
        """Open what has not been opened, and write all that was taken.

        Raises:
            StoreError, OSError, ImportError, mlflow.MlflowException: something could not be written.
        """
        client = self._client
        if client is None:
            client = self._client = self._connect()
        for run in self.runs.values():  # a parent comes before its members, and links need ids
            if run.run_id is None:
                self._check()
                run.open(client, self._experiment, self._id_of(run.job.parent))
        faults: list[Exception] = []
        for key in list(self._order):
            self._check()
            try:
                self.runs[key].write(client, self._id_of)
            except Exception as err:  # noqa: BLE001 - it is raised below
                faults.append(err)
                self._order.remove(key)
                self._order.append(key)
                if len(faults) == MOST_FAULTS:
                    break
        if faults:
            raise faults[0]

    def _check(self) -> None:
        """MLflow waits for minutes where this takes seconds."""
        if self._store is not None:
            self._store.check(_WAIT_FOR_DATABASE)

    def _connect(self) -> Client:
        if self._store is None:
            client = self._connect_to(self.place.uri)
            self._experiment = client.experiment(self.place.experiment, None)
            return client
        with self._store.locked(_WAIT_FOR_LOCK):
            if self._store.exists:
                self._store.check(_WAIT_FOR_DATABASE)
            else:
                make_database(self._store)
            client = self._connect_to(self.place.uri)
            self._experiment = client.experiment(self.place.experiment, self._store.artifacts.as_uri())
            return client

    def _id_of(self, key: str | None) -> str | None:
        return None if key is None or key not in self.runs else self.runs[key].run_id
