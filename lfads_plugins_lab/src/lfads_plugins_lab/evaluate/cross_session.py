"""What one session's factors say about another's: decoders and condition averages carried over without refitting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lfads_plugins_lab.evaluate.recorded import Recorded
from lfads_plugins_std.alignment.condition_names import names_of
from lfads_plugins_std.metrics.behaviour import flatten_known
from lfads_plugins_std.metrics.conditions import labels_of
from lfads_plugins_std.metrics.offered import behaviour_of
from lfads_plugins_std.metrics.r2 import r2_score, r2_variance_weighted
from lfads_plugins_std.metrics.ridge import fit_ridge_cv

FOLDS = 5
"""Of a decoder's bins, to choose its penalty."""


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
    if "train" not in a.splits or "valid" not in b.splits:
        return math.nan
    train, valid = a.evaluation("train"), b.evaluation("valid")
    there, wanted = behaviour_of(train), behaviour_of(valid)
    if there is None or wanted is None or there.shape[2] != wanted.shape[2]:
        return math.nan
    known = flatten_known(train.extras["factors"], there)
    if len(known[0]) < FOLDS:
        return math.nan
    x, y = flatten_known(valid.extras["factors"], wanted)
    return r2_score(fit_ridge_cv(*known, folds=FOLDS)(x), y)


def _conditions(a: Recorded, b: Recorded) -> float:
    sides = []
    for one, split in ((a, "train"), (b, "valid")):
        data = one.session.splits.get(split)
        labels = None if data is None else labels_of(data.extras)
        if data is None or labels is None:
            return math.nan
        names = names_of(labels, data.extras, one.session.arrays)
        side = {label: data.extras["factors"][labels == label].mean(axis=0) for label in np.unique(labels).tolist()}
        sides.append(side if names is None else {names[label]: mean for label, mean in side.items()})
    shared = [label for label in sides[0] if label in sides[1]]
    if len(shared) < 2:
        return math.nan
    guess, target = (np.concatenate([side[label] for label in shared]) for side in sides)
    return r2_variance_weighted(guess, target)
