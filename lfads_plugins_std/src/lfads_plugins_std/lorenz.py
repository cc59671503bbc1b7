"""Spike counts of neurons driven by the Lorenz system, with the rates that made them.

    x' = sigma (y - x),   y' = x (rho - z) - y,   z' = x y - beta z                    (Lorenz 1963)
    log rate_n(t) = a_n + w_n . s(t),   count_n(t) ~ Poisson(rate_n(t) * bin width)

s is the state with each axis standardised; w_n has a random direction and is scaled to the chosen spread of log-rates; a_n sets
the mean rate. The benchmark of the LFADS papers (Sussillo et al. 2016, arXiv:1608.06315).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from lfads_core.errors import NumericsError
from lfads_plugins_std.lorenz_settings import LorenzConfig, train_trials

Arrays = dict[str, np.ndarray | float | str]
"""One file: arrays by key, and single values that become attributes."""


def generate_lorenz(settings: LorenzConfig, rng: np.random.Generator) -> dict[str, Arrays] | Arrays:
    """Make recordings in the data layout, all trials of a condition with the same true rates.

    Per split: ``encod_data`` and ``recon_data`` (equal), ``truth`` (expected counts per bin), ``latents`` (standardised
    states), ``cond`` (condition), ``inds`` (number of the trial in the order it would have been recorded). Several sessions
    (``session1``, ``session2``...) share conditions and latents, and have neurons and trials of their own.
    """
    latents = trajectories(settings, rng)
    if settings.sessions == 1:
        return record(latents, expected_counts(latents, settings, rng), settings, rng)
    return {f"session{number}": record(latents, expected_counts(latents, settings, rng), settings, rng) for number in range(1, settings.sessions + 1)}


def record(latents: Float[np.ndarray, "K T 3"], truth: Float[np.ndarray, "K T N"], settings: LorenzConfig, rng: np.random.Generator) -> Arrays:
    """Record one session of neurons with these expected counts: trials of every condition in random order."""
    condition = rng.permutation(np.repeat(np.arange(settings.conditions), settings.trials_per_condition))
    counts = rng.poisson(truth[condition])
    arrays: Arrays = {"bin_ms": float(settings.bin_ms), "truth_units": "expected counts per bin"}
    train, valid = split_trials(condition, settings)
    for name, rows in (("train", train), ("valid", valid)):
        spikes = counts[rows].astype(np.float32)
        arrays[f"{name}_encod_data"] = spikes
        arrays[f"{name}_recon_data"] = spikes
        arrays[f"{name}_truth"] = truth[condition[rows]].astype(np.float32)
        arrays[f"{name}_latents"] = latents[condition[rows]].astype(np.float32)
        arrays[f"{name}_cond"] = condition[rows]
        arrays[f"{name}_inds"] = rows
    return arrays


def trajectories(settings: LorenzConfig, rng: np.random.Generator) -> Float[np.ndarray, "K T 3"]:
    """One trajectory per condition, sampled at the middle of each bin; each axis has mean 0 and variance 1 over all of them."""
    bin_time = settings.speed * settings.bin_ms / 1000
    states = np.empty((settings.conditions, settings.bins, 3))
    state = rng.normal(size=(settings.conditions, 3)) * (8.0, 8.0, 8.0) + (0.0, 0.0, 25.0)
    with np.errstate(over="ignore", invalid="ignore"):  # told below, in words
        state = advance(state, settings.burn_in + bin_time / 2, settings)
        for t in range(settings.bins):
            states[:, t] = state
            state = advance(state, bin_time, settings)
    if not np.isfinite(states).all():
        raise NumericsError(f"lorenz: the states must stay finite, got infinite ones with step = {settings.step:g}. Use a smaller step.")
    spread = states.std(axis=(0, 1))
    standard: np.ndarray = (states - states.mean(axis=(0, 1))) / np.where(spread > 0, spread, 1.0)
    return standard


def advance(state: Float[np.ndarray, "K 3"], duration: float, settings: LorenzConfig) -> Float[np.ndarray, "K 3"]:
    """Integrate for ``duration`` time units in equal Runge-Kutta steps of fourth order, none longer than ``settings.step``."""
    steps = math.ceil(duration / settings.step)
    h = duration / max(steps, 1)
    for _ in range(steps):
        k1 = lorenz_flow(state, settings)
        k2 = lorenz_flow(state + h / 2 * k1, settings)
        k3 = lorenz_flow(state + h / 2 * k2, settings)
        k4 = lorenz_flow(state + h * k3, settings)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


def lorenz_flow(state: Float[np.ndarray, "K 3"], settings: LorenzConfig) -> Float[np.ndarray, "K 3"]:
    """Time derivative of each state (x, y, z)."""
    x, y, z = state.T
    return np.stack([settings.sigma * (y - x), x * (settings.rho - z) - y, x * y - settings.beta * z], axis=-1)


def expected_counts(latents: Float[np.ndarray, "K T 3"], settings: LorenzConfig, rng: np.random.Generator) -> Float[np.ndarray, "K T N"]:
    """Expected counts per bin of a fresh set of neurons."""
    drive = latents @ rng.normal(size=(3, settings.channels))
    spread = drive.std(axis=(0, 1))
    rates = np.exp(settings.modulation * drive / np.where(spread > 0, spread, 1.0))
    counts: np.ndarray = rates / rates.mean(axis=(0, 1)) * settings.mean_rate * settings.bin_ms / 1000
    return counts


def split_trials(condition: Int[np.ndarray, " B"], settings: LorenzConfig) -> tuple[Int[np.ndarray, " b"], Int[np.ndarray, " v"]]:
    """Rows for training and for validation, in order: the same share of every condition, its first trials for training."""
    rank = np.empty(len(condition), dtype=np.int64)
    for k in range(settings.conditions):
        rows = np.flatnonzero(condition == k)
        rank[rows] = np.arange(len(rows))
    train = rank < train_trials(settings)
    return np.flatnonzero(train), np.flatnonzero(~train)
