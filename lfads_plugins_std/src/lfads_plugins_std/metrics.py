"""Numbers about a run's predictions, from the pure functions of ``lfads_core.metrics``; each gives none where it makes no sense."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lfads_core.metrics.behaviour import decode_within
from lfads_core.metrics.evaluation import Evaluation
from lfads_core.metrics.r2 import r2_per_channel, r2_score, r2_variance_weighted
from lfads_core.metrics.spikes import regional_bits_per_spike

BEHAVIOUR_KEYS = ("behavior", "behaviour")
"""Arrays (trials, bins, dimensions) of the file that are decoded, in either spelling."""


def spike_metrics(e: Evaluation) -> Mapping[str, float]:
    """Bits per spike: ``bps`` where the encoders looked, ``co_bps`` on held-out channels, ``fp_bps`` in later bins; only for counts."""
    if e.support != "counts" or not e.is_rate:
        return {}
    return _finite(regional_bits_per_spike(e.means, e.data, e.encod_channels, e.encod_bins))


def truth_metrics(e: Evaluation) -> Mapping[str, float]:
    """R2 of predictions to true rates: ``r2_truth`` mean and ``r2_truth_median`` over channels, ``r2_truth_vw`` weighted by their variance."""
    truth = e.extras.get("truth")
    if truth is None or truth.shape != e.means.shape or not np.isfinite(truth).all():
        return {}
    scores = r2_per_channel(e.means, truth)
    scores = scores[~np.isnan(scores)]
    median = float(np.median(scores)) if scores.size else math.nan
    return _finite({"r2_truth": r2_score(e.means, truth), "r2_truth_vw": r2_variance_weighted(e.means, truth), "r2_truth_median": median})


def behaviour_metrics(e: Evaluation) -> Mapping[str, float]:
    """R2 of each dimension of behaviour decoded from the predictions of the same bin, across trials of the split (5 folds).

    Named ``behaviour_r2/0``, ``behaviour_r2/1`` and so on. Bins with NaN behaviour are left out.
    """
    behaviour = next((e.extras[key] for key in BEHAVIOUR_KEYS if key in e.extras), None)
    if behaviour is None or behaviour.ndim != 3 or behaviour.shape[:2] != e.means.shape[:2]:
        return {}
    return _finite({f"behaviour_r2/{k}": float(score) for k, score in enumerate(decode_within(e.means, behaviour))})


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out what could not be computed, such as co-bps without held-out channels."""
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
