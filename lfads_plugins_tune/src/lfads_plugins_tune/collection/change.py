"""What can be undone in a collection: failures, outputs, runs of former settings."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from lfads_core.files import spoken_failure
from lfads_core.locks import holding
from lfads_plugins_tune.collection.folder import CollectedRun, taken
from lfads_plugins_tune.collection.state import nobody, read_job, standing, write_job


def retry(entries: Sequence[CollectedRun], *, anew: bool) -> list[str]:
    """Mark failed runs to be tried again, from their last checkpoint or ``anew``; returns their names.

    Raises:
        RunError: a process works on one of them.
    """
    again = []
    for entry in entries:
        if standing(entry).status != "failed":
            continue
        with holding(entry.lock_path, taken(entry)):
            job = read_job(entry)
            if anew:
                remove_outputs(entry)
            job = job or nobody()  # it failed by hand
            write_job(entry, replace(job, retry=True, exit=None, killed=None, ended=job.ended or time.time()))
        again.append(entry.name)
    return again


def delete_outputs(entries: Sequence[CollectedRun]) -> None:
    """Delete everything of these runs but their settings and what they are; they can be run again.

    Raises:
        RunError: a process works on one of them, or a file cannot be deleted.
    """
    for entry in entries:
        with holding(entry.lock_path, taken(entry)), spoken_failure(entry.run.path):
            remove_outputs(entry)


def delete_runs(entries: Sequence[CollectedRun]) -> None:
    """Delete these runs with their folders.

    Raises:
        RunError: a process works on one of them, or a file cannot be deleted.
    """
    for entry in entries:
        with holding(entry.lock_path, taken(entry)), spoken_failure(entry.run.path):
            entry.record_path.unlink()  # first: a folder without it is no run any more
            shutil.rmtree(entry.run.path)


def outputs_size(entries: Sequence[CollectedRun]) -> int:
    """Bytes that the outputs of these runs take."""
    return sum(path.stat().st_size for entry in entries for path in entry.run.path.rglob("*") if path.is_file() and path not in entry.kept())


def remove_outputs(entry: CollectedRun, *, keep: Collection[Path] = ()) -> None:
    """Delete what a run has written, but for ``keep``. Its state goes first, so that half of it is never taken for a run."""
    entry.run.state_path.unlink(missing_ok=True)
    entry.journal_path.unlink(missing_ok=True)
    for path in entry.run.path.iterdir():
        if path in entry.kept() or path == entry.lock_path or path in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
