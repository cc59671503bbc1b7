"""Bits per spike: how much better predicted rates explain spikes than each channel's mean rate does.

    bits per spike = (log L(rates) - log L(mean rates)) / (ln 2 * number of spikes)

with Poisson likelihoods L. The constant ln k! is the same in both terms and cancels, so it is not computed.
Source: Neural Latents Benchmark (Pei et al. 2021, arXiv:2109.04463).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Real

from lfads_core.errors import DataError

ZERO_RATE = 1e-9
"""What a predicted rate of exactly zero counts as, in spikes per bin (the benchmark's convention)."""

NULL_OFFSET = 1e-8
"""Added to the mean count inside the logarithm of the null term, for scores from log-rates only."""


def bits_per_spike(rates: Real[np.ndarray, "*B N"], spikes: Real[np.ndarray, "*b n"]) -> float:
    """Score rates (expected spikes per bin) by the benchmark's definition; NaN when there is no spike.

    Bins where ``spikes`` is NaN count in neither term; each channel's mean leaves them out too. Ratios are taken once,
    over everything: never average this number over batches. Raises DataError for other shapes and impossible rates.
    """
    spikes, rates, seen = _checked(spikes, rates)
    model = rates[seen]
    if not (model >= 0).all():
        raise DataError("bits_per_spike: 'rates' must be >= 0 and no NaN wherever spikes were observed. Give expected counts, not log-rates.")
    null = np.broadcast_to(channel_means(spikes), spikes.shape)[seen]
    counts = spikes[seen]
    return _ratio(_gain_of_rates(model, counts) - _gain_of_rates(null, counts), counts)


def bits_per_spike_from_log_rates(log_rates: Real[np.ndarray, "*B N"], counts: Real[np.ndarray, "*b n"]) -> float:
    """Score log-rates (natural logarithm of expected counts per bin); NaN when there is no spike.

    Differs from :func:`bits_per_spike` in the null term alone, m - k ln(m + 1e-8) for a channel of mean m, which is
    also what the bits-per-spike loss uses.
    """
    counts, log_rates, seen = _checked(counts, log_rates)
    mean = channel_means(counts)
    null = np.broadcast_to(np.log(mean + NULL_OFFSET), counts.shape)[seen]
    expected = np.broadcast_to(mean, counts.shape)[seen]
    k, x = counts[seen], log_rates[seen]
    return _ratio(float((k * x - np.exp(x)).sum() - (k * null - expected).sum()), k)


def regional_bits_per_spike(
    rates: Real[np.ndarray, "*B T N"], counts: Real[np.ndarray, "*b t n"], encod_channels: int, encod_bins: int
) -> dict[str, float]:
    """Score rates where the encoders looked and where they could not.

    ``bps``: channels [0, Ne) in bins [0, Te), which the encoders saw; ``co_bps``: the held-out channels in those bins
    (co-smoothing); ``fp_bps``: all channels in later bins (forward prediction). NaN where a region is empty.
    """
    return _by_region(bits_per_spike, rates, counts, encod_channels, encod_bins)


def regional_bits_per_spike_from_log_rates(
    log_rates: Real[np.ndarray, "*B T N"], counts: Real[np.ndarray, "*b t n"], encod_channels: int, encod_bins: int
) -> dict[str, float]:
    """:func:`regional_bits_per_spike` for log-rates."""
    return _by_region(bits_per_spike_from_log_rates, log_rates, counts, encod_channels, encod_bins)


def channel_means(counts: Real[np.ndarray, "*B N"]) -> Float[np.ndarray, " N"]:
    """Mean count per bin of each channel over the bins that were observed; NaN for a channel never observed."""
    flat = np.asarray(counts, dtype=np.float64).reshape(math.prod(counts.shape[:-1]), counts.shape[-1])
    seen = ~np.isnan(flat)
    observed = seen.sum(axis=0)
    total = np.where(seen, flat, 0.0).sum(axis=0)
    means: np.ndarray = np.divide(total, observed, out=np.full(observed.shape, np.nan), where=observed > 0)
    return means


def _by_region(
    score: Callable[[np.ndarray, np.ndarray], float], predicted: np.ndarray, counts: np.ndarray, encod_channels: int, encod_bins: int
) -> dict[str, float]:
    regions = {
        "bps": np.s_[..., :encod_bins, :encod_channels],
        "co_bps": np.s_[..., :encod_bins, encod_channels:],
        "fp_bps": np.s_[..., encod_bins:, :],
    }
    return {name: score(predicted[part], counts[part]) for name, part in regions.items()}


def _checked(counts: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, "*B N"]]:
    """Both arrays in float64, and where something was observed."""
    if counts.shape != predicted.shape:
        raise DataError(f"bits per spike: predictions must have the shape of the counts {counts.shape}, got {predicted.shape}.")
    counts = np.asarray(counts, dtype=np.float64)
    return counts, np.asarray(predicted, dtype=np.float64), ~np.isnan(counts)


def _gain_of_rates(rates: np.ndarray, counts: np.ndarray) -> float:
    rates = np.where(rates == 0, ZERO_RATE, rates)
    return float((counts * np.log(rates) - rates).sum())


def _ratio(gain: float, counts: np.ndarray) -> float:
    spikes = float(counts.sum())
    return gain / spikes / float(np.log(2)) if spikes > 0 else np.nan
