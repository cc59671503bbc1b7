"""Where a model comes from: the search it won, its exact settings and versions; and what the files hold."""

from __future__ import annotations

import platform
from html import escape
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from lfads_core import __version__
from lfads_core.config.differences import differences
from lfads_core.errors import RunError
from lfads_core.infer.outputs import MEANINGS
from lfads_core.report.facts import Facts
from lfads_core.report.svg import Axes, Line, chart
from lfads_core.report.words import grid, none, para, table
from lfads_core.search.history import JOURNAL
from lfads_core.search.state import State, read_state
from lfads_core.search.table import lineage
from lfads_core.track.names import flatten

MOST_PANELS = 9


def history(facts: Facts) -> str:
    """How the hyperparameters moved on the way to this model."""
    search = facts.state.get("search")
    if not isinstance(search, dict):
        return none("This model comes from a single run, not from a search (lfads search).")
    state = _journal(facts.run.path, search)
    if state is None:
        return none(f"This model is member {search.get('member', '?')} of a search whose folder is no longer there.")
    member = int(search.get("member", state.best.member if state.best else 0))
    way = lineage(state.history, member)
    text = (
        f"Member {member} of a search ({state.kind}, {len(state.members)} members, {len(state.history)} generations), chosen by {state.score}. "
        "Blue: the way to this model, followed back through every member it took weights from. Grey: all others."
    )
    paths = sorted(
        {path for generation in state.history for record in generation.members for path, value in record.hyperparameters.items() if _number(value)}
    )
    return para(text) + grid([_panel(state, path, way) for path in paths[:MOST_PANELS]]) + _final(state, member)


def _panel(state: State, path: str, way: dict[int, int]) -> str:
    """One hyperparameter over epochs; members' values in each generation as short lines."""
    lines: list[Line] = []
    ours: tuple[list[float], list[float]] = ([], [])
    for generation in state.history:
        span = np.array([generation.first_epoch, generation.epochs], dtype=np.float64)
        for record in generation.members:
            value = record.hyperparameters.get(path)
            if _number(value):
                lines.append(Line(x=span, y=np.full(2, float(value)), colour="var(--c6)", width=1, opacity=0.5))
                if way.get(generation.generation) == record.member:
                    ours[0].extend(span)
                    ours[1].extend([float(value)] * 2)
    values = np.array([line.y[0] for line in lines])
    log = bool(len(values) and values.min() > 0 and values.max() / values.min() > 20)
    if ours[0]:
        lines.append(Line(x=np.array(ours[0]), y=np.array(ours[1]), width=2.6))
    return chart(Axes(title=path, x="epoch", y="value", log=log), lines)


def _final(state: State, member: int) -> str:
    values = next((m.values for m in state.members if m.member == member), {})
    rows = [[path, f"{value:.4g}" if isinstance(value, float) else str(value)] for path, value in values.items()]
    return table(["hyperparameter", "in the end"], rows, label="Hyperparameters in the end") if rows else ""


def _journal(run: Path, search: dict[str, Any]) -> State | None:
    """The search's journal, beside the run (in an unpacked bundle) or where the search was."""
    for folder in (run, Path(str(search.get("folder", run.parent)))):
        if (folder / JOURNAL).is_file():
            try:
                return read_state(folder)
            except RunError:
                return None
    return None


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def settings(facts: Facts) -> str:
    """What differs from the defaults, all settings, versions."""
    changed = flatten(differences(facts.loaded.config))
    rows = [[key, "on, with its defaults" if value == "{}" else value] for key, value in changed.items()]
    first = (
        table(["setting", "value"], rows, words=(1,), label="Settings that differ from the defaults")
        if rows
        else none("All settings are the defaults.")
    )
    text = facts.run.config_path.read_text(encoding="utf-8")
    versions = facts.state.get("versions", {})
    made = [[str(name), str(version)] for name, version in versions.items()]
    return (
        "<h3>Settings that differ from the defaults</h3>"
        + first
        + f'<details><summary>All settings (config.yaml)</summary><pre tabindex="0">{escape(text)}</pre></details>'
        + "<h3>Versions that trained it</h3>"
        + (table(["package", "version"], made, words=(1,), label="Versions") if made else none("run.json names no versions."))
        + para(f"This page was made by lfads-core {__version__} on Python {platform.python_version()}.", "soft")
    )


def outputs(facts: Facts) -> str:
    """Arrays of the output files, in words."""
    names = ", ".join(facts.run.output(session.name).name for session in facts.sessions)
    rows = [[f"<split>_{name}", text] for name, text in MEANINGS.items()]
    rows += [["time_ms", "start of each bin, ms"], ["channel_order", "index in the recording of each channel, if channels were held out"]]
    text = (
        f"Everything inferred stands in {names}, one row per trial in the order of the recording, beside the recording's own "
        "arrays. <split> is train, valid or test."
    )
    load = (
        f"import lfads_core\nrun = lfads_core.load({facts.run.name!r})  # the run's folder\nrates = "
        f"run.outputs({'' if len(facts.sessions) == 1 else repr(facts.sessions[0].name)})['valid_output_params']"
    )
    return (
        para(text) + table(["array", "what it is"], rows, words=(1,), label="Arrays of the output file") + f'<pre tabindex="0">{escape(load)}</pre>'
    )
