"""One run of a collection, done in this process: begun, or gone on with, or left alone when it is done."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TextIO

from lfads_core.errors import RunError
from lfads_core.files import append_to
from lfads_core.locks import taking
from lfads_core.plugins import registry_of
from lfads_plugins_tune.collection.change import remove_outputs
from lfads_plugins_tune.collection.folder import CollectedRun, Collection, taken
from lfads_plugins_tune.collection.prepare import data_of
from lfads_plugins_tune.collection.relink import data_are_at
from lfads_plugins_tune.collection.state import ATTEMPT, INTERRUPTED, JobRecord, is_done, read_job, write_job
from lfads_plugins_tune.jobs.local import LOCK_VARIABLE

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"


def do_run(collection: Collection, entry: CollectedRun) -> int:
    """Carry a run out in this process and return its exit code; what it prints goes to its log.

    Raises:
        RunError: another process works on it, or its data have changed.
    """
    with _lock(entry):
        if is_done(entry):
            return 0
        before = read_job(entry)
        job = begun(entry, os.getpid(), os.environ.get(GPU_VARIABLE))
        write_job(entry, job)
        code = 1
        with _logging_to(entry, job):
            try:
                job = replace(job, command=_command(collection, entry, again=before is not None and before.retry))
                write_job(entry, job)
                print(f"$ {shlex.join(['lfads', *job.command])}", flush=True)  # noqa: T201 - into the log
                code = _call(job.command)
            except KeyboardInterrupt:
                code = INTERRUPTED
            except RunError as err:
                print(f"error: {err}", flush=True)  # noqa: T201
                code = 2
            except BaseException:
                import traceback

                traceback.print_exc()
                raise
            finally:
                write_job(entry, replace(job, ended=time.time(), exit=code, peak=_peak(), retry=False))
        return code


def begun(entry: CollectedRun, pid: int, gpu: str | None) -> JobRecord:
    """The record of an attempt that begins now; the queue writes it first, for a process that has no number yet (0)."""
    before = read_job(entry)
    same = before is not None and before.pid in {0, pid} and before.exit is None
    attempt = 1 if before is None else before.attempt if same else before.attempt + 1
    again = before is not None and before.retry
    return JobRecord(pid=pid, host=platform.node(), started=time.time(), attempt=attempt, command=[], gpu=gpu, retry=again)


def _lock(entry: CollectedRun) -> TextIO:
    """The run's lock: the one that a queue took and handed on, or one of our own."""
    handed = os.environ.pop(LOCK_VARIABLE, None)
    if handed is not None:
        os.set_inheritable(int(handed), False)
        return os.fdopen(int(handed), "a", encoding="utf-8")
    return taking(entry.lock_path, taken(entry))


def _command(collection: Collection, entry: CollectedRun, *, again: bool) -> list[str]:
    """What to tell ``lfads``; ``again`` gives members of a search that failed another try."""
    files = data_of(entry, collection, registry_of(collection.path))
    record, path = entry.record(), str(entry.run.path)
    executor = [] if record.executor is None else ["--executor", record.executor]
    if entry.has_begun:
        data_are_at(entry.run.path, files)
        return ["run", "--resume", path] if record.search is None else ["search", "retry" if again else "resume", path, *executor]
    remove_outputs(entry, keep={entry.job_path, entry.log_path})  # of an attempt that never began, or of a deletion that was cut short
    named = [*map(str, files), str(entry.run.config_path), "--runs", str(entry.run.path.parent), "--name", entry.run.path.name]
    return ["run", *named] if record.search is None else ["search", record.search, *named, *executor]


def _call(command: Sequence[str]) -> int:
    """Run the command line as if it had been typed."""
    from lfads_core.cli.main import cli

    try:
        cli(list(command), prog_name="lfads")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextlib.contextmanager
def _logging_to(entry: CollectedRun, job: JobRecord) -> Iterator[None]:
    """Send what this process and its children print to the run's log, below a line that tells the attempt."""
    when = datetime.fromtimestamp(job.started).astimezone().isoformat(sep=" ", timespec="seconds")
    with append_to(entry.log_path, by_line=True) as log, contextlib.ExitStack() as stack:
        log.write(f"{ATTEMPT}{job.attempt}, {when}, process {job.pid} on {job.host} ==\n")
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(log.fileno(), number)  # for children and libraries, which know only numbers
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        yield


def _peak() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * unit
