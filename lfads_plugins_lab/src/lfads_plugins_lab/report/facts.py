"""What a page is made of: a run's folder, read once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.errors import RunError
from lfads_core.files import read_json
from lfads_core.infer.loading import LoadedRun
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_plugins_lab.evaluate.recorded import Recorded, recorded_sessions
from lfads_plugins_lab.evaluate.run import FILE, evaluate_run, save_report

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportFacts:
    """All that the sections draw from."""

    loaded: LoadedRun
    state: Mapping[str, Any]  # run.json
    log: Mapping[str, np.ndarray]  # fitlog.csv; empty if there is none
    sessions: Sequence[Recorded]
    evaluation: Mapping[str, Any]  # evaluation.json

    @property
    def run(self) -> Run:
        """The run's folder."""
        return self.loaded.run

    def found(self, session: Recorded) -> Mapping[str, Any]:
        """What the evaluation says of a session."""
        of: Mapping[str, Any] = self.evaluation["sessions"].get(session.name, {})
        return of


@lru_cache(maxsize=1)
def gather(loaded: LoadedRun) -> ReportFacts:
    """Read everything once; the run is evaluated first unless ``evaluation.json`` is newer than its outputs and speaks of all sessions.

    Every section asks for the same; whoever makes a page forgets it afterwards with ``gather.cache_clear()``.

    Raises:
        RunError: there are no outputs yet, or a file is damaged.
        DataError: an output file is damaged.
    """
    sessions = recorded_sessions(loaded)
    evaluation = _known(loaded.run, [s.name for s in sessions])
    if evaluation is None:
        found = evaluate_run(loaded, say=log.info)
        save_report(loaded, found)
        evaluation = found.plain()
    try:
        table = {name: np.asarray(column) for name, column in read_fitlog(loaded.run.fitlog).items()}
    except RunError:
        table = {}
    return ReportFacts(loaded=loaded, state=loaded.run.read_state(), log=table, sessions=sessions, evaluation=evaluation)


def _known(run: Run, names: Sequence[str]) -> Mapping[str, Any] | None:
    path = run.path / FILE
    outputs = [run.output(name) for name in names]
    if not path.is_file() or any(_age(output) > _age(path) for output in outputs):
        return None
    try:
        found = read_json(path)
    except RunError:
        return None
    sessions = found.get("sessions")
    return found if isinstance(sessions, dict) and set(names) <= set(sessions) else None


def _age(path: Path) -> float:
    return path.stat().st_mtime
