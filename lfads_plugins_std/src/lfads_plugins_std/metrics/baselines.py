"""Where a model's cost stands between knowing nothing but mean rates and knowing the true rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from lfads_core.errors import DataError
from lfads_plugins_std.metrics.spikes import ZERO_RATE, channel_means


@dataclass(frozen=True, kw_only=True)
class PoissonCosts:
    """Mean Poisson negative log-likelihood per value, in nats, of three predictions of the same counts."""

    model: float
    null: float  # every channel at its mean over the evaluated trials
    oracle: float  # the true rates
    gap_closed: float  # share of the way from null to oracle, 1 = as good as the truth


def poisson_nll(rates: Real[np.ndarray, "*B"], counts: Real[np.ndarray, "*b"]) -> float:
    """Mean negative log-likelihood per observed value, in nats: rate - k ln(rate) + S(k).

    S is the training loss's Stirling form, k ln k - k + ln(2 pi k)/2 for k > 1 and 0 otherwise, not ln k!, so that the
    number compares with ``recon`` in the log. Rates are expected counts per bin (0 counts as 1e-9); NaN counts are left out.
    """
    if rates.shape != counts.shape:
        raise DataError(f"poisson_nll: rates must have the shape of the counts {counts.shape}, got {rates.shape}.")
    seen = ~np.isnan(counts)
    rate, k = np.asarray(rates, dtype=np.float64)[seen], np.asarray(counts, dtype=np.float64)[seen]
    rate = np.where(rate == 0, ZERO_RATE, rate)
    return float((rate - k * np.log(rate) + stirling(k)).mean())


def null_nll(counts: Real[np.ndarray, "*B N"]) -> float:
    """:func:`poisson_nll` of each channel's own mean count."""
    return poisson_nll(np.broadcast_to(channel_means(counts), counts.shape), counts)


def gap_closed(model: float, null: float, oracle: float) -> float:
    """Share of the gap between the null's cost and the oracle's that the model closes; NaN when there is no gap."""
    return (null - model) / (null - oracle) if null != oracle else np.nan


def compare_costs(rates: Real[np.ndarray, "*B N"], counts: Real[np.ndarray, "*B N"], truth: Real[np.ndarray, "*B N"]) -> PoissonCosts:
    """Cost of predicted rates beside those of mean rates and of true rates; all in expected counts per bin."""
    model, null, oracle = poisson_nll(rates, counts), null_nll(counts), poisson_nll(truth, counts)
    return PoissonCosts(model=model, null=null, oracle=oracle, gap_closed=gap_closed(model, null, oracle))


def stirling(counts: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """Stirling's approximation of ln k! where k > 1, else 0."""
    k = np.where(counts > 1, counts, 1.0)
    return np.where(counts > 1, k * np.log(k) - k + 0.5 * np.log(2 * np.pi * k), 0.0)
