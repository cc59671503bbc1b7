"""Coefficients of determination, R2 = 1 - SSres / SStot, of each channel and over channels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from lfads_core.errors import DataError


def r2_score(predicted: Real[np.ndarray, "*B N"], target: Real[np.ndarray, "*b n"]) -> float:
    """Plain mean of the channels' R2 (channels that never change are left out); NaN when none changes."""
    scores = r2_per_channel(predicted, target)
    scores = scores[~np.isnan(scores)]
    return float(scores.mean()) if scores.size else np.nan


def r2_variance_weighted(predicted: Real[np.ndarray, "*B N"], target: Real[np.ndarray, "*b n"]) -> float:
    """One R2 for all channels, 1 - sum SSres / sum SStot: channels weigh as much as they vary; NaN when none varies."""
    residual, total = _sums_of_squares(predicted, target)
    return float(1 - residual.sum() / total.sum()) if total.sum() > 0 else np.nan


def r2_per_channel(predicted: Real[np.ndarray, "*B N"], target: Real[np.ndarray, "*b n"]) -> Float[np.ndarray, " N"]:
    """R2 of each channel over all leading axes together; NaN for a channel whose target never changes."""
    residual, total = _sums_of_squares(predicted, target)
    scores: np.ndarray = 1 - np.divide(residual, total, out=np.full(total.shape, np.nan), where=total > 0)
    return scores


def r2_observed(predicted: Real[np.ndarray, "*B N"], target: Real[np.ndarray, "*b n"]) -> float:
    """:func:`r2_variance_weighted` over the values that were observed (no NaN in ``target``); NaN when none varies."""
    if predicted.shape != target.shape:
        raise DataError(f"R2: predictions must have the shape of the target {target.shape}, got {predicted.shape}.")
    if not target.size:
        return np.nan
    truth = np.asarray(target, dtype=np.float64).reshape(-1, target.shape[-1])
    guess = predicted.reshape(truth.shape)
    seen = ~np.isnan(truth)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, truth, 0.0).sum(axis=0) / count
    total = float((np.where(seen, truth - mean, 0.0) ** 2).sum())
    residual = float((np.where(seen, truth - guess, 0.0) ** 2).sum())
    return 1 - residual / total if total > 0 else np.nan


def _sums_of_squares(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares of residuals and about the mean, per channel, in float64."""
    if predicted.shape != target.shape:
        raise DataError(f"R2: predictions must have the shape of the target {target.shape}, got {predicted.shape}.")
    truth = np.asarray(target, dtype=np.float64).reshape(-1, target.shape[-1])
    guess = predicted.reshape(truth.shape)
    if not truth.size:
        return np.zeros(truth.shape[-1]), np.zeros(truth.shape[-1])
    constant = (truth == truth[:1]).all(axis=0)  # so that rounding in the mean is not taken for variance
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    return ((guess - truth) ** 2).sum(axis=0), np.where(constant, 0.0, total)
