"""Numbers about a run's predictions, from the pure functions of ``lfads_plugins_std.metrics``; each gives none where it makes no sense."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_plugins_std.metrics.behaviour import decode, decode_within, speed_tp_correlation, velocity_decoding
from lfads_plugins_std.metrics.conditions import score_conditions
from lfads_plugins_std.metrics.r2 import r2_observed, r2_per_channel, r2_score, r2_variance_weighted
from lfads_plugins_std.metrics.spikes import regional_bits_per_spike

BEHAVIOUR_KEYS = ("behavior", "behaviour")
"""Arrays (trials, bins, dimensions) of the file that are decoded, in either spelling."""
LAGS_MS: tuple[int, ...] = (*range(-200, 0, 40), *range(0, 201, 20), 240, 280, 340, 400)
"""Lags of behaviour behind rates that are tried, in milliseconds; below 0 it leads them, as what is sensed does."""
MOVEMENT = re.compile(
    r"veloc|speed|positi|height|hand|cursor|finger|limb|joint|angle|movement|kinemat|torque|force|running|gait|reach", re.IGNORECASE
)
"""Words by which a description of behaviour speaks of movement."""
MASK_KEY = "decode_mask"
"""Array (trials, groups) of the file: 1 for the trials that are decoded together; without it all are one group."""
LAG_ALPHA = 1e-2
"""Ridge penalty while lags are compared; the reported fit searches for its own."""


def spike_metrics(e: Evaluation) -> Mapping[str, float]:
    """Bits per spike: ``bps`` where the encoders looked, ``co_bps`` on held-out channels, ``fp_bps`` in later bins; only for counts."""
    if e.support != "counts" or not e.is_rate:
        return {}
    return _finite(regional_bits_per_spike(e.means, e.data, e.encod_channels, e.encod_bins))


def data_metrics(e: Evaluation) -> Mapping[str, float]:
    """Variance-weighted R2 of predictions to the data themselves, by region as bits per spike are: ``r2``, ``co_r2``, ``fp_r2``; not for counts."""
    if e.support == "counts" or e.data.shape != e.means.shape:
        return {}
    regions = {
        "r2": np.s_[..., : e.encod_bins, : e.encod_channels],
        "co_r2": np.s_[..., : e.encod_bins, e.encod_channels :],
        "fp_r2": np.s_[..., e.encod_bins :, :],
    }
    return _finite({name: r2_observed(e.means[part], e.data[part]) for name, part in regions.items()})


def condition_metrics(e: Evaluation) -> Mapping[str, float]:
    """R2 of condition averages of the predictions to those of the data, mean over channels.

    ``psth_r2`` where training trials are at hand (after training), whose data the averages take in too; ``psth_own_r2`` where the data's
    averages are of the split's own trials alone, which are noisier. Neither without a bin width, which smoothing needs.
    """
    found = score_conditions(e)
    return {} if found is None else _finite({psth_name(e): found.mean})


def psth_name(e: Evaluation) -> str:
    """What the R2 of condition averages is called, by the trials whose data are averaged."""
    return "psth_own_r2" if e.train is None else "psth_r2"


def duration_metrics(e: Evaluation) -> Mapping[str, float]:
    """``tp_corr``: correlation of the speed of rates with the time produced.

    For behaviour (trials, at least 4): three columns that name the condition, the duration last.
    """
    found = next((e.extras[key] for key in BEHAVIOUR_KEYS if key in e.extras), None)
    if found is None or found.ndim != 2 or found.shape[1] < 4 or len(found) != len(e.means):
        return {}
    return _finite({"tp_corr": speed_tp_correlation(e.data, e.means, found)})


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
    """R2 of each dimension of behaviour decoded from the predictions: ``behaviour_r2_0``, ``behaviour_r2_1`` and so on.

    With training trials at hand (after training): ridge regression fitted to them, behaviour ``behaviour_lag_ms`` after the bin it is
    decoded from, both lag and penalty picked by cross-validation within them (``behaviour_lag_at_edge`` is 1 where the lag is the first or
    last that was tried); and ``velocity_r2``, their mean without a lag, as the Neural Latents Benchmark has it, unless the file describes its
    behaviour (attribute ``behavior``) and it is no movement. Without a bin width there is no lag, and only the latter. Without training trials
    (during training): ``behaviour_fold_r2_0`` and so on, from the same bin, across 5 folds of the split's own trials. Bins with NaN behaviour
    are left out.
    """
    behaviour = behaviour_of(e)
    if behaviour is None:
        return {}
    train = None if e.train is None else behaviour_of(e.train)
    if e.train is None or train is None:
        return _named("behaviour_fold_r2", decode_within(e.means, behaviour))
    masks = e.train.extras.get(MASK_KEY, np.ones((len(train), 1))), e.extras.get(MASK_KEY, np.ones((len(behaviour), 1)))
    benchmark: dict[str, float] = {}
    if not e.behaviour or MOVEMENT.search(e.behaviour):
        benchmark = _finite({"velocity_r2": velocity_decoding(e.train.means, train, masks[0], e.means, behaviour, masks[1])})
    if e.bin_ms is None:
        return benchmark
    lags = lags_in_bins(e.bin_ms, e.means.shape[1])
    lag = _best_lag(e.train.means, train, lags)
    scores = _named("behaviour_r2", decode(e.train.means, train, e.means, behaviour, lag_bins=lag))
    return {**scores, **benchmark, "behaviour_lag_ms": lag * e.bin_ms, "behaviour_lag_at_edge": float(lag in (lags[0], lags[-1]))}


def behaviour_of(e: Evaluation) -> np.ndarray | None:
    """Behaviour of each bin (trials, bins, dimensions), where there is any."""
    found = next((e.extras[key] for key in BEHAVIOUR_KEYS if key in e.extras), None)
    return found if found is not None and found.ndim == 3 and found.shape[:2] == e.means.shape[:2] else None


def lags_in_bins(bin_ms: float, bins: int) -> list[int]:
    """Lags that are tried: from -200 to 400 ms, no more than half a trial, in whole bins."""
    return sorted({lag for ms in LAGS_MS if abs(lag := round(ms / bin_ms)) <= bins // 2})


def _best_lag(rates: np.ndarray, behaviour: np.ndarray, lags: Sequence[int]) -> int:
    """The lag in bins at which behaviour is decoded best across folds of the training trials."""
    return max(lags, key=lambda lag: float(np.nanmean(decode_within(rates, behaviour, lag, alphas=(LAG_ALPHA,)))))


def _named(name: str, scores: np.ndarray) -> dict[str, float]:
    return _finite({f"{name}_{k}": float(score) for k, score in enumerate(scores)})


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out what could not be computed, such as co-bps without held-out channels."""
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
