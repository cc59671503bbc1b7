"""Brings MLflow's store up to what a folder tells: whatever the store lacks is written, and nothing twice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lfads_plugins_tune.mlflow.client import Client, Point, StoredRun, make_database
from lfads_plugins_tune.mlflow.records import RunFiles, RunRecord, is_search
from lfads_plugins_tune.mlflow.search_records import SearchFiles
from lfads_plugins_tune.mlflow.store import ExperimentAddress, Store

METRICS_PER_CALL = 500
"""Values handed over at once: MLflow takes up to a thousand, and is quickest with a few hundred."""

MOST_FAULTS = 2
"""One run may be at fault itself, as when somebody deleted it; when a second one fails, the store is taken to be, and the rest is left for later."""

FILES_TAG = "lfads.files"
"""Which files a run has in the store, so that each is sent once."""

LONGEST_FILES = 5000
"""Characters of that tag; what does not fit is sent again the next time."""

_WAIT_FOR_DATABASE = 5.0
_WAIT_FOR_LOCK = 60.0  # another run may be making the database, which takes seconds


class Recorder:
    """Keeps nothing that could be lost: what a fault has interrupted is found out again from the files and the store.

    Values that are not finite are left out, for MLflow draws infinity at 1.8e308 and spoils the axis; ``fitlog.csv`` has them.
    Each metric takes only steps after its last one: epochs that were trained twice keep their first values.
    """

    def __init__(self, folder: Path, key: str, place: ExperimentAddress, clock: Callable[[], int], connect: Callable[[str], Client] = Client) -> None:
        self.folder, self.place = folder, place
        self.values = self.files = 0  # written by this process
        self._key, self._clock, self._connect_to = key, clock, connect
        self._store = Store(Path(place.folder)) if place.folder is not None else None
        self._client: Client | None = None
        self._experiment = ""
        self._source: RunFiles | SearchFiles | None = None
        self._records: Sequence[RunRecord] = ()
        self._known: dict[str, StoredRun] = {}  # by our keys
        self._doubted: list[str] = []  # keys of runs that could not be written: the store has more of them than is known, and they come last
        self._complete: set[str] = set()

    @property
    def ids(self) -> Mapping[str, str]:
        """MLflow's ids of the runs that have been opened, by our keys."""
        return {key: known.run_id for key, known in self._known.items()}

    def write(self, ended: str | None) -> None:
        """Write all that the files tell and the store lacks; ``ended`` says that nobody is at work any more, and how it ended.

        Raises:
            LfadsError: the files cannot be read.
            StoreError, OSError, ImportError, mlflow.MlflowException: something could not be written.
        """
        try:
            self._write(ended)
        except Exception:
            self._source = None  # what was read and not written is read again
            raise

    def missing(self) -> str:
        """What the store still lacks, in words; empty if nothing."""
        lacking = [record for record in self._records if record.key not in self._complete]
        if not self._records:
            return self.folder.resolve().name
        if len(lacking) == 1:
            known = self._known.get(lacking[0].key)
            last = -1 if known is None else max(known.steps.values(), default=-1)
            return f"{self._named(lacking[0])} from epoch {last + 1} on"
        names = [self._named(record) for record in lacking]
        return ", ".join([*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])])

    def _write(self, ended: str | None) -> None:
        client = self._client = self._client or self._connect()
        if self._source is None:
            self._source = (SearchFiles if is_search(self.folder) else RunFiles)(self.folder, self._key)
        self._records = self._source.look(ended)
        for record in self._records:  # a parent comes before its members, and links need ids
            if record.key not in self._known:
                self._check()
                self._known[record.key] = self._opened(client, record)
        faults: list[Exception] = []
        for record in sorted(self._records, key=lambda record: record.key in self._doubted):
            self._check()
            try:
                self._bring_up(client, record)
            except Exception as err:  # noqa: BLE001 - it is raised below
                faults.append(err)
                self._doubted = [*(key for key in self._doubted if key != record.key), record.key]
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

    def _named(self, record: RunRecord) -> str:
        parent = self._known.get(record.parent or "")
        return record.name if record.parent is None else f"{record.name} · {self.folder.resolve().name if parent is None else parent.name}"

    def _opened(self, client: Client, record: RunRecord) -> StoredRun:
        """Find a run again, or begin it, and describe it; a parameter that has changed since becomes a tag, for MLflow never changes one."""
        known = client.find(self._experiment, record.key)
        if known is None:
            parent = None if record.parent is None else self._known[record.parent].run_id
            name = self._named(record)
            if parent is None and client.has_run_called(self._experiment, name):
                name = f"{name} · {record.key[:4]}"  # another folder's, on one server
            known = client.create(self._experiment, (record.key, name, record.started), parent)
        client.params(known.run_id, {name: value for name, value in record.params.items() if name not in known.params})
        changed = {f"resumed with {name}": value for name, value in record.params.items() if known.params.get(name, value) != value}
        client.tags(known.run_id, changed)
        if record.view is not None:
            client.view(self._experiment, known.run_id, record.view)
        return known

    def _bring_up(self, client: Client, record: RunRecord) -> None:
        known = self._known[record.key]
        if record.key in self._doubted:
            known = self._known[record.key] = client.known(known.run_id)
            self._doubted.remove(record.key)
        if record.status is None and known.status is not None:
            client.reopen(known.run_id)
            known.status = None
        for points in _portions(self._points(record, known)):
            client.metrics(known.run_id, points)
            known.steps.update({point.name: point.epoch for point in points})
            known.values.update({point.name: point.value for point in points})
            self.values += len(points)
        links = {tag: self._known[key].run_id for tag, key in record.links.items() if key in self._known}
        if tags := {name: value for name, value in {**record.tags, **links}.items() if known.tags.get(name) != value}:
            client.tags(known.run_id, tags)
            known.tags.update(tags)
        self._send_files(client, record, known)
        if record.status is not None and record.status != known.status:
            client.end(known.run_id, record.status, self._clock())
            known.status = record.status
        if record.status is not None:
            self._complete.add(record.key)

    def _points(self, record: RunRecord, known: StoredRun) -> Iterator[Point]:
        now, steps = self._clock(), dict(known.steps)
        for epoch, row in record.rows:
            for name, value in row.items():
                ours = known.names[name]
                if math.isfinite(value) and epoch > steps.get(ours, -1):
                    steps[ours] = epoch
                    yield Point(ours, value, now, epoch)
        epoch, numbers = record.numbers
        for name, value in numbers.items():
            ours = known.names[name]
            if math.isfinite(value) and known.values.get(ours) != value:
                yield Point(ours, value, now, epoch)

    def _send_files(self, client: Client, record: RunRecord, known: StoredRun) -> None:
        there = [path for path in record.files if path.exists()]
        if not there:
            return
        sent: dict[str, str] = json.loads(known.tags.get(FILES_TAG, "{}"))
        for path in there:
            if sent.get(path.name) == (digest := _digest(path)):
                continue
            client.files(known.run_id, path, linked=self._store is not None)
            self.files += 1
            sent[path.name] = digest
            known.tags[FILES_TAG] = json.dumps(sent)
            if len(known.tags[FILES_TAG]) <= LONGEST_FILES:
                client.tags(known.run_id, {FILES_TAG: known.tags[FILES_TAG]})


def _portions(points: Iterator[Point]) -> Iterator[list[Point]]:
    portion: list[Point] = []
    for point in points:
        portion.append(point)
        if len(portion) == METRICS_PER_CALL:
            yield portion
            portion = []
    if portion:
        yield portion


def _digest(path: Path) -> str:
    """What changes when a file, or one in a folder, is written again."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
