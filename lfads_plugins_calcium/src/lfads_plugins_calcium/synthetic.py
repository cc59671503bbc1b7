"""Calcium imaging of cells whose rates are known, row by row, as deconvolved events.

    rates (Lorenz) -> spikes -> indicator -> frames, each cell at its row's time -> noise -> deconvolution -> events

A frame is scanned line by line, so cells are seen at different times within it; these times are what lets rates be told at a finer
grain than frames (Zhu et al. 2022, RADICaL). The same settings and seed give the same events on either grid.

The truth is what a model of events can know: the expected event if a frame were taken at that bin. An event tells of the spikes since the frame
before, later by the indicator's rise; so the truth is the rates, later by the same, in the unit of the events.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int, Real

from lfads_plugins_calcium.deconvolve import deconvolve
from lfads_plugins_calcium.grid import on_fine_grid
from lfads_plugins_calcium.indicator import calcium, fluorescence
from lfads_plugins_calcium.synthetic_settings import CalciumConfig
from lfads_plugins_std.lorenz import expected_counts, split_trials, trajectories
from lfads_plugins_std.lorenz_settings import LorenzConfig


def generate_calcium(settings: CalciumConfig, rng: np.random.Generator) -> dict[str, np.ndarray | float | str]:
    """Make one session in the data layout.

    Per split: ``encod_data`` and ``recon_data`` (equal; events, NaN where the fine grid has no frame), ``truth`` (expected event of a frame
    at each bin), ``spike_rates`` (expected spikes per frame time in each bin), ``latents`` (standardised states of the Lorenz system), ``cond``,
    ``inds`` (trial in recorded order). Of the whole session: ``scan_bin`` (N), the bin within a frame in which each cell is scanned.
    """
    bin_ms = settings.frame_ms / settings.fine_bins
    warm_up = math.ceil(settings.warm_up_ms / settings.frame_ms) * settings.fine_bins
    system = _system(settings, bin_ms, warm_up)
    latents = trajectories(system, rng)
    rates = expected_counts(latents, system, rng)
    condition = rng.permutation(np.repeat(np.arange(settings.conditions), settings.trials_per_condition))
    scan = rng.permutation(np.arange(settings.channels) * settings.fine_bins // settings.channels)
    events = _image(rng.poisson(rates[condition]), scan, settings, rng)[:, warm_up // settings.fine_bins :]
    truth, rates, latents = _shown(rates, settings)[:, warm_up:], rates[:, warm_up:] * settings.fine_bins, latents[:, warm_up:]
    scanned = _scanned(truth, scan, settings.fine_bins)
    scale = events.mean() / scanned.mean()  # conditions have as many trials each
    if settings.grid == "fine":
        truth, events = scale * truth, on_fine_grid(events, scan, settings.fine_bins)
    else:
        truth = scale * scanned
        rates, latents = (_frames(values, settings.fine_bins).mean(axis=2) for values in (rates, latents))
    arrays: dict[str, np.ndarray | float | str] = {
        "bin_ms": bin_ms if settings.grid == "fine" else settings.frame_ms,
        "truth_units": "expected event",
        "scan_bin": scan,
    }
    for name, rows in zip(("train", "valid"), split_trials(condition, system), strict=True):
        arrays[f"{name}_encod_data"] = arrays[f"{name}_recon_data"] = events[rows].astype(np.float32)
        arrays[f"{name}_truth"] = truth[condition[rows]].astype(np.float32)
        arrays[f"{name}_spike_rates"] = rates[condition[rows]].astype(np.float32)
        arrays[f"{name}_latents"] = latents[condition[rows]].astype(np.float32)
        arrays[f"{name}_cond"] = condition[rows]
        arrays[f"{name}_inds"] = rows
    return arrays


def _image(spikes: Int[np.ndarray, "B T N"], scan: Int[np.ndarray, " N"], settings: CalciumConfig, rng: np.random.Generator) -> np.ndarray:
    """Spikes on the fine grid to events by frame (trials, frames, channels)."""
    frames = _scanned(_calcium(spikes, settings), scan, settings.fine_bins)
    seen = fluorescence(frames, half_saturation=settings.half_saturation, cooperativity=settings.cooperativity)
    seen += settings.noise * rng.normal(size=seen.shape)
    return deconvolve(seen.swapaxes(1, 2), _decay(settings), smallest=settings.smallest_event).events.swapaxes(1, 2)


def _shown(rates: Float[np.ndarray, "K T N"], settings: CalciumConfig) -> Float[np.ndarray, "K T N"]:
    """What a frame in each bin adds to what the frame before left over: an event, were the indicator linear and without noise."""
    inside = _calcium(rates, settings)
    before = np.concatenate([np.zeros_like(inside[:, : settings.fine_bins]), inside[:, : -settings.fine_bins]], axis=1)
    shown: np.ndarray = inside - _decay(settings) * before
    return shown


def _calcium(spikes: Real[np.ndarray, "B T N"], settings: CalciumConfig) -> Float[np.ndarray, "B T N"]:
    return calcium(spikes, settings.frame_ms / settings.fine_bins, rise_ms=settings.rise_ms, decay_ms=settings.decay_ms)


def _decay(settings: CalciumConfig) -> float:
    return math.exp(-settings.frame_ms / settings.decay_ms)


def _scanned(values: Float[np.ndarray, "B T N"], scan: Int[np.ndarray, " N"], fine_bins: int) -> Float[np.ndarray, "B F N"]:
    """Each cell's values in the bins in which it is scanned."""
    return _frames(values, fine_bins)[:, :, scan, np.arange(values.shape[-1])]


def _frames(values: Float[np.ndarray, "B T N"], fine_bins: int) -> Float[np.ndarray, "B F K N"]:
    trials, bins, channels = values.shape
    return values.reshape(trials, bins // fine_bins, fine_bins, channels)


def _system(settings: CalciumConfig, bin_ms: float, warm_up: int) -> LorenzConfig:
    return LorenzConfig(
        conditions=settings.conditions,
        trials_per_condition=settings.trials_per_condition,
        bins=warm_up + settings.frames * settings.fine_bins,
        bin_ms=bin_ms,
        channels=settings.channels,
        mean_rate=settings.mean_rate,
        modulation=settings.modulation,
        speed=settings.speed,
        train_share=settings.train_share,
    )
