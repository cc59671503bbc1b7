"""Runs side by side: what their settings differ in, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.config.differences import differences
from lfads_core.config.flat import flatten
from lfads_core.config.load import resolve_saved
from lfads_core.errors import RunError
from lfads_core.files import read_json
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run, run_or_best
from lfads_core.track.fitlog import read_fitlog
from lfads_core.wording import first_few
from lfads_plugins_lab.evaluate.run import FILE, MODEL

_FEW = 3

DEFAULT = "default"
"""Stands for a setting that another run changed and this one did not."""


def find_runs(patterns: Sequence[Path]) -> list[Run]:
    """Runs by their folders; a search stands for its best model, and a folder without a run for the runs and searches in it.

    Raises:
        RunError: there is no run.
    """
    found: dict[Path, Run] = {}
    for path in patterns:
        below = sorted(path.iterdir()) if path.is_dir() else []
        inside = [run_or_best(folder) for folder in below if Run(run_or_best(folder)).state_path.is_file()]
        chosen = [run_or_best(path)] if Run(run_or_best(path)).state_path.is_file() or not inside else inside
        for folder in chosen:
            found.setdefault(folder.resolve(), Run.open(folder))
    return list(found.values())


def compare_runs(runs: Sequence[Run], registry: Registry) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns, and a row for each run: name, status, data, settings that differ between the runs, epochs, seconds, best cost, scores.

    Scores are those of ``run.json`` (``valid/...``), and of ``evaluation.json`` where there is one, as means over sessions. Costs that runs were
    judged by stand in a column for each judge if there is more than one: those of other values are no better or worse.

    Raises:
        RunError: a run's state is damaged.
        ConfigError, PluginError: settings cannot be read here.
    """
    configs = [resolve_saved(run.config_path, registry) for run in runs]
    forms, judges = [flatten(differences(config)) for config in configs], [config.validation.judge for config in configs]
    costs = {judge: "best_cost" if len(set(judges)) == 1 else f"best_cost ({judge})" for judge in dict.fromkeys(judges)}
    varied = [key for key in sorted(set().union(*forms)) if len({form.get(key) for form in forms}) > 1]
    names = _names(runs)
    rows: list[dict[str, Any]] = []
    scored: dict[str, None] = {}
    for name, run, form, judge in zip(names, runs, forms, judges, strict=True):
        state = run.read_state()
        scores = _scores(run, state)
        scored |= dict.fromkeys(scores)
        data = [Path(str(item)).stem for item in state.get("data", ())]
        settings = {key: {"{}": "on"}.get(value := form.get(key, DEFAULT), value) for key in varied}  # a group that is null by default, and is not
        rows.append({"run": name, "status": state.get("status", ""), "data": " ".join(data), **settings, **_training(run, costs[judge]), **scores})
    fixed = ["run", "status", *(["data"] if len({row["data"] for row in rows}) > 1 else [])]
    return [*fixed, *varied, "epochs", "seconds", "best_epoch", *costs.values(), *scored], rows


def unlike_sessions(runs: Sequence[Run]) -> str | None:
    """A sentence if the runs' scores are means over sessions of different names; None if they are of the same, in whatever order."""
    groups: dict[frozenset[str], list[str]] = {}
    for name, run in zip(_names(runs), runs, strict=True):
        if sessions := _sessions(run):
            groups.setdefault(frozenset(sessions), []).append(name)
    if len(groups) < 2 or max(map(len, groups)) < 2:
        return None
    parts = [f"{first_few(of, _FEW)} of {', '.join(sorted(sessions))}" for sessions, of in groups.items()]
    return (
        f"scores are means over a run's sessions, and these are not the same: {'; '.join(parts[:_FEW])}{'; ...' if len(parts) > _FEW else ''}. "
        "Compare single sessions with `lfads eval`."
    )


def _sessions(run: Run) -> set[str]:
    """Names of the sessions that a run's scores are of; empty while there are none."""
    scores = run.read_state().get("scores")
    if isinstance(scores, dict) and (named := {key.split("/", 2)[2] for key in scores if key.count("/") > 1}):
        return named
    return set(_evaluation(run)) or {path.stem.removeprefix("lfads_output_") for path in run.outputs}


def _names(runs: Sequence[Run]) -> list[str]:
    """Folder names; where two are the same, or it is the best of a search, with the folder above."""
    short = [run.name for run in runs]
    return [f"{run.path.resolve().parent.name}/{run.name}" if short.count(run.name) > 1 or run.name == "best" else run.name for run in runs]


def _training(run: Run, cost: str) -> dict[str, Any]:
    """Epochs and seconds of training, and the least smoothed cost it was judged by, called ``cost``."""
    try:
        log = read_fitlog(run.fitlog)
    except RunError:
        return {}
    found: dict[str, Any] = {"epochs": len(log["epoch"])}
    if seconds := [value for value in log.get("seconds", ()) if np.isfinite(value)]:
        found["seconds"] = round(seconds[-1], 1)
    if (best := run.read_best()) is not None:
        found |= {"best_epoch": best.epoch, cost: best.cost}
    return found


def _scores(run: Run, state: Mapping[str, Any]) -> dict[str, float]:
    known = state.get("scores")
    found = {k: float(v) for k, v in known.items() if k.startswith(("valid/", "test/")) and k.count("/") == 1} if isinstance(known, dict) else {}
    for key, value in _evaluated(run).items():
        found.setdefault(key, value)
    return found


def _evaluated(run: Run) -> dict[str, float]:
    """Means over sessions of what ``lfads eval`` found."""
    sessions = _evaluation(run).values()
    try:
        values: dict[str, list[float]] = {}
        for session in sessions:
            for split in ("valid", "test"):
                for name, value in session["scores"].get(split, {}).get(MODEL, {}).items():
                    values.setdefault(f"{split}/{name}", []).append(value)
                if split in session["costs"]:
                    values.setdefault(f"{split}/nll", []).append(session["costs"][split]["all"])
            if session["verdict"]["hidden_share"] is not None and session["verdict"].get("unclear") is None:
                values.setdefault("hidden_share", []).append(session["verdict"]["hidden_share"])
    except (KeyError, TypeError, AttributeError) as err:
        raise _not_ours(run.path / FILE, err) from err
    return {name: float(np.mean(of)) for name, of in values.items() if None not in of}


def _evaluation(run: Run) -> dict[str, Any]:
    """What ``lfads eval`` wrote of each session; empty if it has not been."""
    path = run.path / FILE
    if not path.is_file():
        return {}
    try:
        return dict(read_json(path)["sessions"])
    except (RunError, ValueError, KeyError, TypeError) as err:
        raise _not_ours(path, err) from err


def _not_ours(path: Path, err: Exception) -> RunError:
    return RunError(f"{path}: must be what `lfads eval` writes, got something else ({type(err).__name__}: {err}). Make it anew.")
