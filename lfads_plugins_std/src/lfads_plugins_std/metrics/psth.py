"""How well trial-averaged rates match the peri-stimulus time histogram (PSTH) of each condition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Real

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.r2 import r2_per_channel, r2_score
from lfads_plugins_std.metrics.smooth import smooth


def eval_psth(
    psth: Real[np.ndarray, "K t n"],
    rates: Real[np.ndarray, "B T N"],
    trials: Sequence[Int[np.ndarray, " _"]],
    jitter: Int[np.ndarray, " B"] | None = None,
) -> float:
    """R2 of condition-averaged rates against the PSTHs, mean over channels; NaN when every condition is empty.

    ``trials[k]`` are the rows of ``rates`` in condition k; a condition without trials is skipped. ``jitter`` gives, per
    trial, by how many bins its rates must be moved later to line up with the PSTH. Bins where the first channel of a
    PSTH is NaN are left out. Rates and PSTH must share a unit. Source: Neural Latents Benchmark (arXiv:2109.04463).
    """
    return r2_score(*_pairs(psth, rates, trials, jitter))


def psth_r2_per_channel(
    psth: Real[np.ndarray, "K t n"],
    rates: Real[np.ndarray, "B T N"],
    trials: Sequence[Int[np.ndarray, " _"]],
    jitter: Int[np.ndarray, " B"] | None = None,
) -> Float[np.ndarray, " N"]:
    """What :func:`eval_psth` averages: the R2 of each channel; NaN for one whose PSTH never changes."""
    return r2_per_channel(*_pairs(psth, rates, trials, jitter))


def make_psth(
    data: Real[np.ndarray, "B T N"], trials: Sequence[Int[np.ndarray, " _"]], width: float = 0.0, jitter: Int[np.ndarray, " B"] | None = None
) -> Float[np.ndarray, "K T N"]:
    """Average the data of each condition's trials after a Gaussian of standard deviation ``width`` in bins.

    ``jitter`` moves each trial later by its number of bins first. A bin that not every trial of a condition has is NaN in all
    channels, and so is a condition without trials.
    """
    smoothed = smooth(data, width)
    aligned = smoothed if jitter is None else shift_trials(smoothed, jitter)
    psth = np.full((len(trials), *data.shape[1:]), np.nan)
    for k, rows in enumerate(trials):
        if len(rows):
            psth[k] = aligned[rows].mean(axis=0)
    return np.where(np.isnan(psth).any(axis=2, keepdims=True), np.nan, psth)


def _pairs(
    psth: np.ndarray, rates: np.ndarray, trials: Sequence[np.ndarray], jitter: np.ndarray | None
) -> tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n N"]]:
    """Condition averages of the rates beside the PSTHs, bins of all conditions one below the other."""
    if len(trials) != len(psth) or psth.shape[1:] != rates.shape[1:]:
        raise DataError(
            f"eval_psth: 'psth' must be (conditions, bins, channels) for {len(trials)} conditions and rates {rates.shape}, got {psth.shape}."
        )
    aligned = rates if jitter is None else shift_trials(rates, jitter)
    averages, targets = [np.empty((0, psth.shape[2]))], [np.empty((0, psth.shape[2]))]
    for target, rows in zip(psth, trials, strict=True):
        if len(rows):
            known = ~np.isnan(target[:, 0])
            averages.append(aligned[rows].mean(axis=0)[known])
            targets.append(target[known])
    return np.concatenate(averages), np.concatenate(targets)


def shift_trials(rates: Real[np.ndarray, "B T N"], bins: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B T N"]:
    """Move each trial later by its own number of bins (earlier if negative); bins that nothing moved into are NaN."""
    count = rates.shape[1]
    source = np.arange(count) - np.asarray(bins)[:, None]
    inside = (source >= 0) & (source < count)
    moved = np.take_along_axis(np.asarray(rates, dtype=np.float64), np.clip(source, 0, count - 1)[..., None], axis=1)
    return np.where(inside[..., None], moved, np.nan)
