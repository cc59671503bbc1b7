"""The section on a search of a run's page: the way to the model that won."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from lfads_core.components.page import Block, ChartBlock, Curve, TableBlock, TextBlock
from lfads_core.errors import RunError
from lfads_core.infer.loading import LoadedRun
from lfads_plugins_tune.search.history import JOURNAL
from lfads_plugins_tune.search.state import SearchState, read_state
from lfads_plugins_tune.search.table import lineage

MOST_PANELS = 9


def history(loaded: LoadedRun) -> Iterator[Block]:
    """How the hyperparameters moved on the way to this model; a section of the report."""
    search = loaded.run.read_state().get("search")
    if search is None:
        yield TextBlock(text="This model comes from a single run, not from a search (lfads search).", role="nothing")
        return
    state = _journal(loaded.run.path, search)
    if state is None:
        yield TextBlock(text=f"This model is member {search.get('member', '?')} of a search whose folder is no longer there.", role="nothing")
        return
    member = int(search.get("member", state.best.member if state.best else 0))
    way = lineage(state.history, member)
    text = (
        f"Member {member} of a search ({state.kind}, {len(state.members)} members, {len(state.history)} generations), chosen by {state.score}. "
        "Blue: the way to this model, followed back through every member it took weights from. Grey: all others."
    )
    paths = sorted(
        {path for generation in state.history for record in generation.members for path, value in record.hyperparameters.items() if _number(value)}
    )
    yield TextBlock(text=text)
    for path in paths[:MOST_PANELS]:
        yield _panel(state, path, way)
    values = next((m.values for m in state.members if m.member == member), {})
    rows = [[path, f"{value:.4g}" if isinstance(value, float) else str(value)] for path, value in values.items()]
    if rows:
        yield TableBlock(head=["hyperparameter", "in the end"], rows=rows, label="Hyperparameters in the end")


def _panel(state: SearchState, path: str, way: dict[int, int]) -> ChartBlock:
    """One hyperparameter over epochs; members' values in each generation as short lines."""
    lines: list[Curve] = []
    ours: tuple[list[float], list[float]] = ([], [])
    for generation in state.history:
        span = np.array([generation.first_epoch, generation.epochs], dtype=np.float64)
        for record in generation.members:
            value = record.hyperparameters.get(path)
            if _number(value):
                lines.append(Curve(x=span, y=np.full(2, float(value)), strong=False))
                if way.get(generation.generation) == record.member:
                    ours[0].extend(span)
                    ours[1].extend([float(value)] * 2)
    values = np.array([line.y[0] for line in lines])
    log = bool(len(values) and values.min() > 0 and values.max() / values.min() > 20)
    if ours[0]:
        lines.append(Curve(x=np.array(ours[0]), y=np.array(ours[1])))
    return ChartBlock(title=path, x="epoch", y="value", curves=lines, log=log)


def _journal(run: Path, search: dict[str, Any]) -> SearchState | None:
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
