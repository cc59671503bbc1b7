"""Beginning, watching and ending the queue of a collection, from this process or another."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import FrameType

from lfads_core.errors import RunError
from lfads_core.files import write_json
from lfads_core.locks import holding, is_held
from lfads_core.processes import own_python
from lfads_core.records import read_record
from lfads_plugins_tune.collection.folder import CollectedRun, Collection
from lfads_plugins_tune.collection.queue import DEFAULT_GRACE, Limits, Queue
from lfads_plugins_tune.collection.state import read_job
from lfads_plugins_tune.jobs.local import LocalJob
from lfads_plugins_tune.jobs.running import Jobs

_START_SECONDS = 60.0
"""How long a queue in the background may take to begin."""

_END_SECONDS = 15.0
"""How long processes may take to end once they must."""


@dataclass(frozen=True, kw_only=True)
class QueueRecord:
    """``queue.json``: the queue at work, or the last one."""

    pid: int
    host: str
    started: float  # seconds since 1970
    jobs: int
    grace: float
    ended: float | None = None


def read_queue(collection: Collection) -> QueueRecord | None:
    """The queue at work or the last one; None if there was none."""
    try:
        return read_record(QueueRecord, collection.queue_path)
    except (OSError, ValueError, TypeError):
        return None


def is_working(collection: Collection) -> bool:
    """Whether a queue works on the collection now."""
    return is_held(collection.queue_lock)


def work(collection: Collection, limits: Limits, names: Sequence[str], say: Callable[[str], None]) -> Mapping[str, int]:
    """Be the queue: work until nothing is left, or a signal asks for the end. A closed terminal does not.

    Raises:
        RunError: another queue is at work, or the limits cannot be met.
    """
    with holding(collection.queue_lock, _at_work(collection)), _signals() as asked:
        queue = Queue(collection, limits, names, say, asked)
        record = QueueRecord(pid=os.getpid(), host=platform.node(), started=time.time(), jobs=limits.jobs, grace=limits.grace)
        write_json(collection.queue_path, asdict(record))
        try:
            return queue.work()
        finally:
            write_json(collection.queue_path, {**asdict(record), "ended": time.time()})


def start_in_background(collection: Collection, options: Sequence[str]) -> int:
    """Start ``lfads collection start`` with these options as a session of its own; returns its process once it is at work or done.

    Raises:
        RunError: it ended with a fault; the message is its own.
    """
    if is_working(collection):
        raise RunError(_at_work(collection))
    command = own_python("-m", "lfads_core.cli.main", "collection", "start", str(collection.path.resolve()), *options)
    with collection.queue_log.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - our own command
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        record = read_queue(collection)
        if record is not None and record.pid == process.pid:
            return process.pid
        if (code := process.poll()) is not None:
            said = collection.queue_log.read_text(encoding="utf-8", errors="replace").strip()
            errors = [line.partition("error: ")[2] for line in said.splitlines() if line.startswith("error: ")]
            raise RunError("\n".join(errors) or f"{collection.queue_log}: the queue must begin, but ended with exit code {code}. Read there why.")
        time.sleep(0.1)
    raise RunError(f"{collection.queue_log}: the queue must begin within {_START_SECONDS:.0f} s, but has not. Read there why.")


def stop(collection: Collection, *, now: bool) -> int:
    """End the queue and every run of this machine, whoever began them; returns how many runs were at work.

    Runs are asked to save first, unless ``now``.

    Raises:
        RunError: the queue works on another machine, or something does not end.
    """
    record = read_queue(collection)
    at_work = [entry for entry in collection.all() if is_held(entry.lock_path)]
    if is_working(collection) and record is not None:
        if record.host != platform.node():
            raise RunError(f"{collection.path}: the queue must be stopped on the machine it works on, {record.host}, but this is {platform.node()}.")
        _end_queue(collection, record, now=now)
    _end_runs(collection, DEFAULT_GRACE if record is None else record.grace, now=now)
    if left := [entry.name for entry in _runs_here(collection)]:
        raise RunError(f"{collection.path}: every run must end, but {', '.join(left)} did not. See to these processes by hand.")
    return len(at_work)


def _runs_here(collection: Collection) -> list[CollectedRun]:
    """Runs that a process of this machine works on; one that has just begun may not have told its number yet."""
    held = [entry for entry in collection.all() if is_held(entry.lock_path)]
    return [entry for entry in held if (job := read_job(entry)) is None or job.host == platform.node()]


def _end_runs(collection: Collection, grace: float, *, now: bool) -> None:
    """End every run of this machine, and wait for that."""
    jobs, end = Jobs[LocalJob](grace), time.monotonic() + grace * (not now) + _END_SECONDS
    while (entries := _runs_here(collection)) and time.monotonic() < end:
        for entry in entries:
            job = read_job(entry)
            if job is not None and job.pid and job.exit is None:
                jobs.running.setdefault(entry.name, LocalJob(pid=job.pid, lock=entry.lock_path))
        jobs.stop(now=now)
        time.sleep(0.1)


def wait(collection: Collection) -> None:
    """Return when no queue works on the collection any more."""
    while is_working(collection):
        time.sleep(0.2)


def _end_queue(collection: Collection, record: QueueRecord, *, now: bool) -> None:
    """Ask the queue to end, or kill it, ``now`` or when it takes too long; its runs are seen to by themselves."""
    for number, seconds in ((signal.SIGTERM, record.grace + _END_SECONDS), (signal.SIGKILL, _END_SECONDS))[now:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)
        end = time.monotonic() + seconds
        while is_working(collection) and time.monotonic() < end:
            time.sleep(0.1)
        if not is_working(collection):
            return
    raise RunError(f"{collection.path}: the queue must end, but process {record.pid} does not. See to it by hand.")


def _at_work(collection: Collection) -> str:
    record = read_queue(collection)
    who = f"process {record.pid} on {record.host} does" if record is not None else "another process does"
    return (
        f"{collection.path}: one queue may work on a collection, but {who}. `lfads collection status {collection.path}` shows it, "
        f"`lfads collection stop {collection.path}` ends it."
    )


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Count wishes to end (Ctrl-C, SIGTERM); do not mind a closed terminal."""
    count = 0

    def heard(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1

    old = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    old[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield lambda: count
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
