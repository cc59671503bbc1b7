"""What a session's file calls its channels, conditions, events and dimensions of behaviour, as figures show them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lfads_core.data.order import CHANNEL_NAMES, CHANNEL_ORDER
from lfads_core.data.session import Session
from lfads_plugins_std.alignment.condition_names import names_of, texts
from lfads_plugins_std.figures.channels import Channels
from lfads_plugins_std.figures.conditions import Groups, groups_by
from lfads_plugins_std.figures.units import TimeAxis
from lfads_plugins_std.metrics.conditions import labels_of

MOST_GROUPS = 16
"""Conditions that are shown, evenly spread."""

MOST_EVENTS = 3

DIMENSIONS = "behavior_dimensions"
"""Array of the session: names of the dimensions of behaviour; its units beside it."""


def channels_of(session: Session, split: str) -> Channels:
    """Each channel's name in the file, or its number in the recording."""
    data = session.splits[split]
    count = data.recon.shape[2]
    order = session.arrays.get(CHANNEL_ORDER)
    names = [str(number) for number in (np.arange(count) if order is None else np.ravel(order)).tolist()]
    for key in CHANNEL_NAMES:
        given = session.attributes.get(key, session.arrays.get(key))
        if given is not None and np.ndim(given) == 1 and len(given) == count:
            names = texts(np.asarray(given))
            break
    return Channels(names=names, seen=data.encod.shape[2] if data.nested else count)


def groups_of(session: Session, split: str) -> Groups | None:
    """Conditions of a split's trials in the words of the file; None without conditions, or where hardly any trial shares one."""
    extras = session.splits[split].extras
    labels = labels_of(extras)
    if labels is None or len(np.unique(labels)) > len(labels) / 1.5:
        return None
    index, kept = groups_by(labels, MOST_GROUPS)
    names = names_of(labels, extras, session.arrays)
    what = str(session.attributes.get("condition_columns", "condition"))
    prefix = "condition" if names is None or "," in what else what.replace("_", " ")
    return Groups(index=index, labels=[f"{prefix} {_spoken(label) if names is None else names[label]}" for label in kept.tolist()])


def events_of(session: Session, split: str, time: TimeAxis) -> dict[str, Float[np.ndarray, " B"]]:
    """Moments of each trial on the axis of time, by name: arrays (trials) whose name ends in ``_ms`` and that mostly lie within the trials.

    Where a file lists ``event_names``, as `lfads data make` does, these alone are events. They count from the start of the first bin.
    """
    found: dict[str, np.ndarray] = {}
    if session.bin_ms is None:
        return found
    extras, names = session.splits[split].extras, session.arrays.get("event_names")
    for key in extras if names is None else [f"{name}_ms" for name in texts(names)]:
        values = extras.get(key)
        if values is not None and key.endswith("_ms") and values.ndim == 1 and values.dtype.kind in "iuf":
            moments = values.astype(np.float64) + time.begin
            if ((moments >= time.begin) & (moments < time.end)).mean() > 0.5 and len(found) < MOST_EVENTS:
                found[key.removesuffix("_ms").replace("_", " ")] = moments
    return found


def dimensions_of(session: Session) -> list[tuple[str, str]]:
    """Name and unit of each dimension of behaviour, as `lfads data make` writes them; empty where the file has no names."""
    names, units = (texts(session.arrays.get(key, np.zeros(0))) for key in (DIMENSIONS, "behavior_dimension_units"))
    units = units if len(units) == len(names) else [""] * len(names)
    return list(zip(names, units, strict=True))


def _spoken(label: object) -> str:
    return label.decode() if isinstance(label, bytes) else f"{label:g}" if isinstance(label, float) else str(label)
