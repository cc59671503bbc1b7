"""Tables: the log, scores beside baselines, runs side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lfads_core.front.brought import as_path
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_lab.evaluate.compare import compare_runs, find_runs, unlike_sessions
from lfads_plugins_lab.evaluate.run import evaluate_and_keep
from lfads_plugins_lab.report.page import write_page


def log(run: LoadedRun) -> pd.DataFrame:
    """``fitlog.csv``, a row for each epoch; NaN was not measured in that epoch."""
    return pd.DataFrame(dict(run.columns())).astype({"epoch": int}).set_index("epoch")


def evaluate(run: LoadedRun, *, few_shot: int | None = None) -> pd.DataFrame:
    """Scores by session, split and predictor; ``nll`` is the cost in nats per value. Warnings of the verdict stand in ``.attrs["warnings"]``."""
    found = evaluate_and_keep(run, shots=few_shot)
    rows = {}
    for session in found.sessions:
        for split, by in session.scores.items():
            for who, scores in by.items():
                rows[session.name, split, who] = dict(scores)
        for split, costs in session.costs.items():
            rows[session.name, split, next(iter(session.scores[split]))]["nll"] = costs.all
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["session", "split", "predictor"])
    table.attrs["warnings"] = [*found.notes, *(text for session in found.sessions for text in session.verdict.warnings)]
    return table


def compare(run: LoadedRun, *others: LoadedRun | str | Path) -> pd.DataFrame:
    """A row for each run: settings that differ, scores, epochs, time."""
    runs = find_runs([one.run.path if isinstance(one, LoadedRun) else as_path("a run", one) for one in (run, *others)])
    columns, rows = compare_runs(runs, run.registry)
    table = pd.DataFrame(rows, columns=columns).set_index("run")
    if (note := unlike_sessions(runs)) is not None:
        table.attrs["warnings"] = [note]
    return table


def report(run: LoadedRun, path: Path | None) -> Path:
    """The page on a run."""
    return write_page(run, path)
