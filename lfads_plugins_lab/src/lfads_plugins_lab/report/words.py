"""What sections share: sessions one after the other, their conditions, times and units."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lfads_core.components.page import Block, TextBlock
from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_lab.report.facts import ReportFacts
from lfads_plugins_std.alignment.condition_names import names_of
from lfads_plugins_std.figures.conditions import Groups, groups_by
from lfads_plugins_std.figures.units import TimeAxis, time_of
from lfads_plugins_std.metrics.conditions import labels_of

MOST_GROUPS = 16
"""Conditions that are shown, evenly spread."""


def each_session(facts: ReportFacts, draw: Callable[[Recorded], Iterator[Block]]) -> Iterator[Block]:
    """What is drawn of each session, below its name where there are several."""
    for session in facts.sessions:
        if len(facts.sessions) > 1:
            yield TextBlock(text=session.name, role="heading")
        yield from draw(session)


def nothing(text: str) -> TextBlock:
    """Why there is nothing to show."""
    return TextBlock(text=text, role="nothing")


def shown_split(session: Recorded) -> str:
    """The split that trials are shown of: validation, or what there is."""
    return "valid" if "valid" in session.splits else session.splits[-1]


def groups_of(session: Recorded, split: str) -> Groups | None:
    """Conditions of a split's trials in the words of the file; None without conditions, or where hardly any trial shares one."""
    of = session.session
    extras = of.splits[split].extras
    labels = labels_of(extras)
    if labels is None or len(np.unique(labels)) > len(labels) / 1.5:
        return None
    index, kept = groups_by(labels, MOST_GROUPS)
    names = names_of(labels, extras, of.arrays)
    what = str(of.attributes.get("condition_columns", "condition"))
    prefix = "condition" if names is None or "," in what else what
    return Groups(index=index, labels=[f"{prefix} {_spoken(label) if names is None else names[label]}" for label in kept.tolist()])


def times_of(session: Recorded) -> TimeAxis:
    """The bins' times, from the event that trials are aligned to if the file names it."""
    return time_of(session.session, next(iter(session.session.splits.values())).recon.shape[1])


def rate_scale(session: Recorded) -> tuple[float, str]:
    """Factor on values per bin, and the unit that comes out."""
    if not session.is_rate:
        return 1.0, "units of the data"
    return (1.0, "events/bin") if session.session.bin_ms is None else (1000.0 / session.session.bin_ms, "events/s")


def _spoken(label: object) -> str:
    return label.decode() if isinstance(label, bytes) else f"{label:g}" if isinstance(label, float) else str(label)
