"""From spikes to fluorescence: a calcium indicator with rise, decay and saturation."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Real


def calcium(spikes: Real[np.ndarray, "B T N"], bin_ms: float, *, rise_ms: float, decay_ms: float) -> Float[np.ndarray, "B T N"]:
    """Calcium at the end of each bin; one spike, in the middle of its bin, gives (1 - exp(-t / rise)) exp(-t / decay), its peak scaled to 1.

    The kernel is a difference of two exponentials, so two running sums make it.
    """
    slow, amplitude = _filtered(spikes, bin_ms, decay_ms), 1.0
    if rise_ms > 0:
        fast_ms = 1 / (1 / rise_ms + 1 / decay_ms)
        slow = slow - _filtered(spikes, bin_ms, fast_ms)
        peak = rise_ms * math.log1p(decay_ms / rise_ms)
        amplitude = -math.expm1(-peak / rise_ms) * math.exp(-peak / decay_ms)
    scaled: np.ndarray = slow / amplitude
    return scaled


def fluorescence(calcium: Float[np.ndarray, "B T N"], *, half_saturation: float | None, cooperativity: float) -> Float[np.ndarray, "B T N"]:
    """Hill response (1 + h^n) c^n / (c^n + h^n), which is 1 for c = 1; c^n without saturation."""
    response: np.ndarray = np.maximum(calcium, 0.0) ** cooperativity  # rounding may leave -1e-17
    if half_saturation is None:
        return response
    half = half_saturation**cooperativity
    saturated: np.ndarray = (1 + half) * response / (response + half)
    return saturated


def _filtered(spikes: np.ndarray, bin_ms: float, tau_ms: float) -> np.ndarray:
    """``Σ_k spikes_(t-k) exp(-(k + ½) bin / tau)``."""
    decay, out = math.exp(-bin_ms / tau_ms), np.empty(spikes.shape)
    level = np.zeros((spikes.shape[0], spikes.shape[2]))
    for t in range(spikes.shape[1]):
        level = level * decay + spikes[:, t] * math.sqrt(decay)
        out[:, t] = level
    return out
