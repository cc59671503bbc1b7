"""What one session's factors say about another's: decoders and condition averages carried over without refitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_std.alignment.condition_names import names_of
from lfads_plugins_std.metrics.behaviour import flatten_known
from lfads_plugins_std.metrics.conditions import labels_of
from lfads_plugins_std.metrics.r2 import r2_score, r2_variance_weighted
from lfads_plugins_std.metrics.ridge import fit_ridge_cv

BEHAVIOUR_KEYS = ("behavior", "behaviour")


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossSession:
    """Square tables, from the session of the row to that of the column; NaN where the data lack what is needed, and None where all of it is."""

    sessions: Sequence[str]
    decoding: Float[np.ndarray, "S S"] | None  # R2 of behaviour: decoder from the row's training factors, scored on the column's validation trials
    conditions: Float[np.ndarray, "S S"] | None  # R2 of the column's condition-averaged factors predicted by the row's, as they are
    why_not: Sequence[str] = ()


def cross_sessions(recorded: Sequence[Recorded]) -> CrossSession | None:
    """Compare all pairs; None for a single session. If the model found shared dynamics, what lies off the diagonal is near what lies on it."""
    if len(recorded) < 2:
        return None
    pairs = [[(_decode(a, b), _conditions(a, b)) for b in recorded] for a in recorded]
    tables = [np.array([[pair[k] for pair in row] for row in pairs]) for k in range(2)]
    missing = ("no session pair has behaviour", "no session pair shares conditions")
    empty = [bool(np.isnan(table).all()) for table in tables]
    return CrossSession(
        sessions=[one.name for one in recorded],
        decoding=None if empty[0] else tables[0],
        conditions=None if empty[1] else tables[1],
        why_not=[text for text, none in zip(missing, empty, strict=True) if none],
    )


def _decode(a: Recorded, b: Recorded) -> float:
    train, valid = a.session.splits.get("train"), b.session.splits.get("valid")
    if train is None or valid is None:
        return float("nan")
    there, wanted = _behaviour(train.extras), _behaviour(valid.extras)
    if there is None or wanted is None or there.shape[2] != wanted.shape[2]:
        return float("nan")
    fit = fit_ridge_cv(*flatten_known(train.extras["factors"], there))
    x, y = flatten_known(valid.extras["factors"], wanted)
    return r2_score(fit(x), y)


def _conditions(a: Recorded, b: Recorded) -> float:
    sides = []
    for one, split in ((a, "train"), (b, "valid")):
        data = one.session.splits.get(split)
        labels = None if data is None else labels_of(data.extras)
        if data is None or labels is None:
            return float("nan")
        names = names_of(labels, data.extras, one.session.arrays)
        side = {label: data.extras["factors"][labels == label].mean(axis=0) for label in np.unique(labels).tolist()}
        sides.append(side if names is None else {names[label]: mean for label, mean in side.items()})
    shared = sorted(set(sides[0]) & set(sides[1]), key=str)
    if len(shared) < 2:
        return float("nan")
    guess, target = (np.concatenate([side[label] for label in shared]) for side in sides)
    return r2_variance_weighted(guess, target)


def _behaviour(extras: object) -> np.ndarray | None:
    if not isinstance(extras, dict):
        return None
    return next((extras[key] for key in BEHAVIOUR_KEYS if key in extras and extras[key].ndim == 3), None)
