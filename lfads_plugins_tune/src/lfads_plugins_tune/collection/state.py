"""Where a run of a collection stands, read from its files: nothing else keeps state, so nothing can disagree."""

from __future__ import annotations

import math
import signal
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from lfads_core.config.schema import TrainConfig
from lfads_core.errors import RunError
from lfads_core.files import write_json
from lfads_core.locks import is_held, is_locked
from lfads_core.records import read_record
from lfads_core.track.fitlog import read_fitlog
from lfads_core.wording import spoken_size
from lfads_plugins_tune.collection.folder import CollectedRun
from lfads_plugins_tune.search.report import headline, last_scores
from lfads_plugins_tune.search.state import read_state

Status = Literal["ready", "running", "done", "interrupted", "failed"]

INTERRUPTED = 130
"""Exit code of a run that was asked to stop and has saved."""

ATTEMPT = "\n== attempt "
"""What the line begins with that a new attempt puts into the log."""

_ASKED = {0, INTERRUPTED, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, 128 + signal.SIGTERM, 128 + signal.SIGHUP}
"""Exit codes that speak of somebody's wish, not of a fault."""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """``job.json``: the last attempt at a run."""

    pid: int
    host: str
    started: float  # seconds since 1970
    attempt: int
    command: list[str]
    gpu: str | None = None
    ended: float | None = None
    exit: int | None = None  # None as long as it is not known; negative: the signal that ended it
    peak: int | None = None  # most memory, bytes
    killed: str | None = None  # why the queue ended it
    retry: bool = False  # a failure that shall not count


@dataclass(frozen=True, kw_only=True)
class CollectionState:
    """One run's state. ``cost`` is the best smoothed validation cost so far; of a search, the best member's score."""

    name: str
    status: Status
    epochs: int | None = None
    of: int | None = None
    cost: float | None = None
    seconds: float | None = None
    note: str = ""
    job: JobRecord | None = None


def nobody() -> JobRecord:
    """The record of an attempt that no queue and no job has made."""
    return JobRecord(pid=0, host="", started=0.0, attempt=0, command=[])


def read_job(entry: CollectedRun) -> JobRecord | None:
    """The last attempt; None if there was none, or its file is damaged."""
    try:
        return read_record(JobRecord, entry.job_path)
    except (OSError, ValueError, TypeError):
        return None


def write_job(entry: CollectedRun, job: JobRecord) -> None:
    """Write the last attempt."""
    write_json(entry.job_path, asdict(job))


def is_done(entry: CollectedRun) -> bool:
    """Whether nothing is left to do.

    Raises:
        RunError: the run's own record is damaged.
    """
    return _said(entry) == "finished"


def _said(entry: CollectedRun) -> str | None:
    """What the run or search says of itself; None before it has begun."""
    if entry.journal_path.exists():
        return read_state(entry.run.path).status
    return entry.run.read_state().get("status") if entry.run.state_path.exists() else None


def standing(entry: CollectedRun) -> CollectionState:
    """Where the run stands, without its progress, which takes longer to read."""
    job = read_job(entry)
    if is_held(entry.lock_path):
        return CollectionState(name=entry.name, status="running", note="" if job is None or job.gpu is None else f"gpu {job.gpu}", job=job)
    if is_locked(entry.run.path):
        return CollectionState(name=entry.name, status="running", note="by another command", job=job)
    try:
        said = _said(entry)
    except RunError as err:
        return CollectionState(name=entry.name, status="failed", note=str(err), job=job)
    if said == "finished":
        return CollectionState(name=entry.name, status="done", job=job)
    if job is not None and job.exit not in {None, *_ASKED} and not job.retry:
        return CollectionState(name=entry.name, status="failed", note=_why(entry, job), job=job)
    if said == "failed" and (job is None or job.exit is None) and not (job and job.retry):
        return CollectionState(name=entry.name, status="failed", note=last_error(entry) or "see log.txt", job=job)
    return CollectionState(name=entry.name, status="ready" if said is None else "interrupted", job=job)


def state_of(entry: CollectedRun) -> CollectionState:
    """Where the run stands, and how far it has come; of a search, all members together."""
    found = standing(entry)
    try:
        return _with_search(found, entry) if entry.journal_path.exists() else replace(found, **_progress(entry))
    except RunError:  # damaged: the status says so
        return found


def tail(entry: CollectedRun, lines: int) -> list[str]:
    """The last lines that the last attempt printed."""
    try:
        with entry.log_path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 200 * max(lines, 50)))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    _, began, attempt = text.rpartition(ATTEMPT)
    return attempt.rstrip("\n").splitlines()[bool(began) :][-lines:]


def last_error(entry: CollectedRun) -> str:
    """The last line of the log that tells an error, without the word."""
    told = [line.partition("error: ")[2] for line in tail(entry, 50) if line.startswith("error: ")]
    return told[-1] if told else ""


def _why(entry: CollectedRun, job: JobRecord) -> str:
    if job.killed:
        return job.killed
    if told := last_error(entry):
        return told
    lines = tail(entry, 1)
    if job.exit is not None and job.exit < 0:
        try:
            name = signal.Signals(-job.exit).name
        except ValueError:
            name = str(-job.exit)
        memory = f" (it had used {spoken_size(job.peak)})" if job.peak else ""
        hint = "; the system may have run out of memory" if job.exit == -signal.SIGKILL else ""
        return f"ended by {name}{memory}{hint}"
    return lines[-1].strip() if lines else f"exit code {job.exit}"


def _progress(entry: CollectedRun) -> dict[str, Any]:
    """Epochs, cost and time from the log of epochs; nothing if there is none yet."""
    if not entry.run.fitlog.exists():
        return {}
    log = read_fitlog(entry.run.fitlog)
    judged = next((name for name in log if name.startswith("valid/") and name.endswith("_smooth")), "")  # by what, the settings say
    costs = [cost for cost in log.get(judged, []) if not math.isnan(cost)]
    seconds = [value for value in log.get("seconds", []) if not math.isnan(value)]
    return {
        "epochs": int(log["epoch"][-1]) + 1 if log["epoch"] else 0,
        "of": entry.record().differences.get("train", {}).get("epochs", TrainConfig().epochs),
        "cost": min(costs, default=None),
        "seconds": seconds[-1] if seconds else None,
    }


def _with_search(found: CollectionState, entry: CollectedRun) -> CollectionState:
    search = read_state(entry.run.path)
    scores = last_scores(search).values()
    best = search.best.score if search.best is not None else min(scores, default=None)
    return replace(
        found,
        epochs=max(member.epochs for member in search.members),
        of=search.targets[-1],
        cost=best if best is None or not search.score.startswith("-") else -best,
        seconds=search.seconds,
        note=found.note or headline(search),
    )
