"""What remains, on values hidden from a model, of what it gains over mean rates on the same values when it sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

PASSES = 8
"""Passes at least, each hiding other values."""

LEVEL = 0.95
"""Of the interval."""

CLEAR = 3.0
"""Standard errors by which the gain on seen values must exceed zero; below, a share of it is noise."""


@dataclass(frozen=True, kw_only=True)
class KeptGain:
    """A share of a gain with its interval; all three None where the gain is too small to tell."""

    share: float | None
    low: float | None
    high: float | None
    gain: float  # (null - seen), per value
    gain_error: float  # its standard error over trials


def kept_gain(
    null: Float[np.ndarray, " B"], seen: Float[np.ndarray, " B"], hidden: Float[np.ndarray, " B"], values: Float[np.ndarray, " B"]
) -> KeptGain | None:
    """Costs of the same values, summed by trial, at mean rates, of the model that sees them, of the model from which they are hidden.

        share = sum (null - hidden) / sum (null - seen)

    with the interval of a ratio of sums over trials (the delta method, Student's t): trials are independent of one another, values within
    one are not. None where there are fewer than three trials with hidden values.
    """
    there = values > 0
    trials = int(there.sum())
    if trials < 3:
        return None
    kept, whole = (null - hidden)[there], (null - seen)[there]
    count = values[there].sum()
    spread = np.sqrt(trials / (trials - 1))
    gain, gain_error = float(whole.sum() / count), float(spread * np.sqrt(((whole - whole.mean()) ** 2).sum()) / count)
    if gain <= CLEAR * gain_error:
        return KeptGain(share=None, low=None, high=None, gain=gain, gain_error=gain_error)
    share = float(kept.sum() / whole.sum())
    error = float(spread * np.sqrt(((kept - share * whole) ** 2).sum()) / whole.sum())
    reach = float(student.ppf((1 + LEVEL) / 2, trials - 1)) * error
    return KeptGain(share=share, low=share - reach, high=share + reach, gain=gain, gain_error=gain_error)
