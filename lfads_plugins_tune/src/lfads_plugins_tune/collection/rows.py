"""What there is to see of a collection, as plain rows: states, recordings, final scores."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lfads_core.errors import RunError
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import DataReaderSpec
from lfads_core.wording import spoken_size
from lfads_plugins_tune.collection.folder import CollectedRun, Collection
from lfads_plugins_tune.collection.plan import find_datasets
from lfads_plugins_tune.collection.recordings import Recordings
from lfads_plugins_tune.collection.spec import read_spec
from lfads_plugins_tune.collection.state import CollectionState, Status, state_of, tail
from lfads_plugins_tune.search.state import read_state

ORDER: tuple[Status, ...] = ("running", "done", "failed", "interrupted", "ready")


def states(entries: Sequence[CollectedRun]) -> list[CollectionState]:
    """Where each run stands."""
    return [state_of(entry) for entry in entries]


def tally(found: Sequence[CollectionState]) -> str:
    """``5 runs: 1 running, 3 done, 1 ready``."""
    count = Counter(state.status for state in found)
    parts = ", ".join(f"{count[status]} {status}" for status in ORDER if count[status])
    return f"{len(found)} run{'' if len(found) == 1 else 's'}{f': {parts}' if parts else ''}"


def plain_state(state: CollectionState, entry: CollectedRun, lines: int) -> dict[str, Any]:
    """A state for scripts; a failed run's last lines with it."""
    job = state.job
    return {
        "name": state.name,
        "status": state.status,
        "epochs": state.epochs,
        "epochs_wanted": state.of,
        "best_cost": state.cost,
        "seconds": state.seconds,
        "note": state.note,
        "attempts": job.attempt if job else 0,
        "exit": job.exit if job else None,
        "gpu": job.gpu if job else None,
        "peak_bytes": job.peak if job else None,
        "path": str(entry.run.path),
        "tail": tail(entry, lines) if state.status == "failed" else [],
    }


def state_row(state: CollectionState) -> list[str]:
    """A state for people: run, status, epochs, validation cost, time, memory, note."""
    from lfads_core.train.progress import clock

    job = state.job
    return [
        state.name,
        state.status,
        "" if state.epochs is None else f"{state.epochs}/{state.of}",
        "" if state.cost is None else f"{state.cost:.5g}",
        "" if state.seconds is None else clock(state.seconds),
        spoken_size(job.peak) if job and job.peak else "",
        state.note,
    ]


STATE_HEADINGS = ("run", "status", "epochs", "valid cost", "time", "memory", "")


def recordings_table(collection: Collection, registry: Registry) -> list[dict[str, Any]]:
    """Every recording with the dataset it belongs to; those left out for too few trials have none.

    Raises:
        ConfigError, DataError: the collection's file or a recording does not do.
    """
    recordings = Recordings(collection.memory_path, registry.all(DataReaderSpec))
    datasets, left_out = find_datasets(read_spec(collection.spec_path, registry), recordings)
    pairs = [(dataset.name, recording) for dataset in datasets for recording in dataset.recordings]
    return [
        {
            "dataset": name,
            "recording": recording.name,
            "trials": dict(recording.facts.trials),
            "bins": recording.facts.bins,
            "channels": recording.facts.channels,
            "bin_ms": recording.facts.bin_ms,
            "conditions": recording.facts.conditions,
            "hash": recording.content,
            "path": os.path.relpath(recording.path.resolve()),
        }
        for name, recording in [*pairs, *(("", recording) for recording in left_out)]
    ]


def score_table(entries: Sequence[CollectedRun], *, every: bool) -> tuple[list[str], list[dict[str, Any]]]:
    """Final scores side by side with what varies; first the columns. Runs that are not done have empty scores.

    Scores are those of validation trials unless ``every``; those of single sessions are left out.
    """
    rows, varied, scored = [], dict[str, None](), dict[str, None]()
    for entry in entries:
        record, state = entry.record(), state_of(entry)
        scores = _scores(entry) if state.status == "done" else {}
        wanted = {name: value for name, value in scores.items() if every or (name.startswith("valid/") and name.count("/") == 1)}
        varied |= dict.fromkeys(record.varied)
        scored |= dict.fromkeys(wanted)
        base = {"run": entry.name, "dataset": record.dataset, "variant": record.variant, "status": state.status}
        rows.append({**base, **record.varied, "epochs": state.epochs, "best_cost": state.cost, **wanted})
    named = ["variant"] if any(row["variant"] for row in rows) else []
    return ["run", "dataset", *named, *varied, "status", "epochs", "best_cost", *scored], rows


def _scores(entry: CollectedRun) -> Mapping[str, float]:
    """Final scores of a run, or of the best member of a search."""
    try:
        if entry.journal_path.exists():
            best = read_state(entry.run.path).best
            return {} if best is None else best.scores
        found = entry.run.read_state().get("scores")
    except RunError:
        return {}
    return found if isinstance(found, dict) else {}
