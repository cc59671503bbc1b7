"""Conditions of trials, and how well averages of predictions over them meet averages of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lfads_core.components.evaluation import Evaluation
from lfads_core.data.layout import CONDITION_KEYS
from lfads_plugins_std.metrics.psth import eval_psth, make_psth, psth_r2_per_channel

JITTER_KEY = "jitter"
"""Array (trials) of the file: by how many bins each trial must be moved later to line up with the others of its condition."""

PSTH_MS = 50.0
"""Standard deviation of the Gaussian that data are smoothed with before they are averaged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionScores:
    """R2 of condition-averaged predictions against those of the data."""

    mean: float  # over channels
    per_channel: Float[np.ndarray, " N"]


def labels_of(extras: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """One label per trial, under the first of the names that ``lfads data align`` knows; None if there is none."""
    found = (extras[key] for key in CONDITION_KEYS if key in extras)
    return next((np.asarray(labels) for labels in found if labels.ndim == 1), None)


def rows_by_condition(labels: np.ndarray, conditions: np.ndarray) -> list[Int[np.ndarray, " _"]]:
    """Rows of the trials of each condition."""
    return [np.flatnonzero(labels == condition) for condition in conditions]


def score_conditions(e: Evaluation) -> ConditionScores | None:
    """Compare averages over the split's trials with the smoothed data's averages over its own and, if known, the training trials.

    None where there are fewer than two conditions, on average fewer than two trials of each to make a PSTH of, or no bin width, without
    which the data cannot be smoothed and averages would mean something else.
    Source: Neural Latents Benchmark (arXiv:2109.04463), with a Gaussian of 50 ms.
    """
    own = labels_of(e.extras)
    if own is None or e.bin_ms is None or e.data.shape[1:] != e.means.shape[1:]:
        return None
    parts = [e] if e.train is None or (there := labels_of(e.train.extras)) is None else [e, e.train]
    labels = own if len(parts) == 1 else np.concatenate([own, there])
    conditions = np.unique(own)
    targets = rows_by_condition(labels, conditions)
    if len(conditions) < 2 or sum(map(len, targets)) < 2 * len(conditions):
        return None
    width = PSTH_MS / e.bin_ms
    jitters = [jitter_of(part.extras, len(part.means)) for part in parts]
    known = [jitter for jitter in jitters if jitter is not None]
    psth = make_psth(np.concatenate([part.data for part in parts]), targets, width, np.concatenate(known) if len(known) == len(parts) else None)
    rows = rows_by_condition(own, conditions)
    arguments = psth, np.asarray(e.means, dtype=np.float64), rows, jitters[0] if len(known) == len(parts) else None
    return ConditionScores(mean=eval_psth(*arguments), per_channel=psth_r2_per_channel(*arguments))


def jitter_of(extras: Mapping[str, np.ndarray], trials: int) -> Int[np.ndarray, " B"] | None:
    """By how many bins each trial must be moved later to line up with the others; None where nothing says so."""
    found = extras.get(JITTER_KEY)
    return None if found is None or found.shape != (trials,) or found.dtype.kind not in "iu" else found
