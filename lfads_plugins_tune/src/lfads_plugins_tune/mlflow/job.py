"""What the writer process is told: once where to write, then which runs there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ExperimentAddress:
    """The store and the experiment in it; plain values only, because it travels as JSON."""

    uri: str
    folder: str | None  # of the runs, when the store is the one beside them; None: the user chose a store
    experiment: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to be recorded; plain values only, because it travels as JSON."""

    run_name: str
    key: str  # our own name of the run, by which it is found again; MLflow's id is known only once the store has answered
    started: int  # milliseconds since 1970
    params: Mapping[str, str]
    tags: Mapping[str, str]
    parent: str | None = None  # key of the run under which it is shown
