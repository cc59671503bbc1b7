"""From raw EMG to envelopes that the gamma reconstruction takes, and back to the units of the recording.

    high-pass -> notch -> rectify -> mean in bins -> clip at a percentile -> divide by a percentile -> floor

Filters run forwards and backwards, so nothing is delayed. Percentiles are those of the training trials, per channel. The way of
Wimalasena et al. 2022 (J Neural Eng 19 036013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real
from scipy import signal

from lfads_core.errors import DataError
from lfads_plugins_emg.envelope_settings import EnvelopeConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class EnvelopeScale:
    """What the training trials say of each channel, in the units of the recording."""

    scale: Float[np.ndarray, " N"]  # becomes 1
    clip: Float[np.ndarray, " N"]  # values above are cut; infinite for none
    floor: float  # smallest scaled value

    def apply(self, rectified: Real[np.ndarray, "B T N"]) -> Float[np.ndarray, "B T N"]:
        """Clip, divide, raise to the floor."""
        scaled: np.ndarray = np.maximum(np.minimum(rectified, self.clip) / self.scale, self.floor)
        return scaled

    def invert(self, envelope: Real[np.ndarray, "*B N"]) -> Float[np.ndarray, "*B N"]:
        """Envelopes, or a model's expected values, in the units of the recording; what was cut or raised stays so."""
        restored: np.ndarray = envelope * self.scale
        return restored


def prepare(raw: Sequence[Real[np.ndarray, "_ _ _"]], fs_hz: float, settings: EnvelopeConfig) -> tuple[list[np.ndarray], EnvelopeScale]:
    """Envelopes (trials, bins, channels) of several splits, the training split first, with the scale that it gives them all.

    Raises:
        DataError: values are missing or infinite, trials are too short, or a channel is dead.
    """
    rectified = [rectify(values, fs_hz, settings) for values in raw]
    scale = fit_scale(rectified[0], settings)
    return [scale.apply(values) for values in rectified], scale


def rectify(raw: Real[np.ndarray, "B S N"], fs_hz: float, settings: EnvelopeConfig) -> Float[np.ndarray, "B T N"]:
    """Filter, take absolute values and average them in bins; samples after the last whole bin are dropped."""
    values = np.asarray(raw, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"raw EMG: must be finite, got {int((~np.isfinite(values)).sum())} NaN or infinite samples. Mend or drop these trials.")
    if settings.highpass_hz is not None:
        values = highpass(values, fs_hz, settings.highpass_hz, settings.order)
    if settings.mains_hz is not None:
        for line in lines(settings.mains_hz, settings.harmonics, fs_hz):
            values = notch(values, fs_hz, line, settings.notch_width_hz)
    return bin_means(np.abs(values), settings.bin_ms * fs_hz / 1000)


def highpass(values: Float[np.ndarray, "B S N"], fs_hz: float, corner_hz: float, order: int) -> Float[np.ndarray, "B S N"]:
    """Butterworth high-pass along each trial, forwards and backwards."""
    if corner_hz >= fs_hz / 2:
        half = fs_hz / 2
        raise DataError(f"raw EMG: highpass_hz must be below half the sampling rate ({half:g} Hz), got {corner_hz:g}. Lower it, or set it to null.")
    return _both_ways(signal.butter(order, corner_hz, "highpass", fs=fs_hz, output="sos"), values)


def lines(mains_hz: float, harmonics: int, fs_hz: float) -> list[float]:
    """The mains frequency and its multiples below half the sampling rate."""
    return [mains_hz * k for k in range(1, harmonics + 1) if mains_hz * k < fs_hz / 2]


def notch(values: Float[np.ndarray, "B S N"], fs_hz: float, line_hz: float, width_hz: float) -> Float[np.ndarray, "B S N"]:
    """Second-order notch along each trial, forwards and backwards."""
    return _both_ways(signal.tf2sos(*signal.iirnotch(line_hz, line_hz / width_hz, fs=fs_hz)), values)


def _both_ways(sections: np.ndarray, values: Float[np.ndarray, "B S N"]) -> Float[np.ndarray, "B S N"]:
    shortest = 3 * (2 * len(sections) + 1)  # what sosfiltfilt mirrors at either end
    if values.shape[1] <= shortest:
        raise DataError(f"raw EMG: trials must be longer than the filters' {shortest} samples, got {values.shape[1]}. Cut longer trials.")
    filtered: np.ndarray = signal.sosfiltfilt(sections, values, axis=1)
    return filtered


def bin_means(values: Float[np.ndarray, "B S N"], per_bin: float) -> Float[np.ndarray, "B T N"]:
    """Mean over each bin of ``per_bin`` samples; a sample that two bins share counts in each by its share, so positive stays positive.

    Raises:
        DataError: bins are shorter than samples, or trials than a bin.
    """
    bins = int(values.shape[1] / per_bin + 1e-9)
    if per_bin < 1 or bins < 1:
        raise DataError(
            f"raw EMG: a bin must hold at least one sample and fit into a trial of {values.shape[1]}, got {per_bin:g} samples. Change bin_ms."
        )
    edges = np.minimum(np.arange(bins + 1) * per_bin, values.shape[1])
    total = np.concatenate([np.zeros_like(values[:, :1]), np.cumsum(values, axis=1)], axis=1)
    whole = np.minimum(edges.astype(np.int64), values.shape[1] - 1)
    at_edges = total[:, whole] + (edges - whole)[None, :, None] * values[:, whole]
    means: np.ndarray = np.diff(at_edges, axis=1) / per_bin
    return means.clip(min=0.0)  # rounding in long sums


def fit_scale(rectified: Float[np.ndarray, "B T N"], settings: EnvelopeConfig) -> EnvelopeScale:
    """Percentiles of the training trials.

    Raises:
        DataError: a channel's scale is zero.
    """
    by_channel = rectified.reshape(-1, rectified.shape[-1])
    if not by_channel.size:
        raise DataError(f"raw EMG: the training split must have trials, bins and channels, got {rectified.shape}. Fill it.")
    scale = np.percentile(by_channel, settings.scale_percentile, axis=0)
    dead = np.flatnonzero(scale <= 1e-12 * max(float(scale.max()), np.finfo(np.float64).tiny))
    if dead.size:
        raise DataError(f"raw EMG: every channel must carry a signal, got none in {', '.join(map(str, dead))}. Drop these channels.")
    clip = np.full_like(scale, np.inf) if settings.clip_percentile is None else np.percentile(by_channel, settings.clip_percentile, axis=0)
    return EnvelopeScale(scale=scale, clip=clip, floor=settings.floor)
