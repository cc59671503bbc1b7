"""Envelopes of EMG whose activations are known.

    s_k(t) = smooth Gaussian process, variance 1                  synergies
    a_n(t) = exp(modulation * w_n . s(t)) / its mean              activations, |w_n| = 1, w_n >= 0
    x_n(t) ~ gamma(shape, mean a_n(t)) + artefacts

An artefact strikes one bin of a random set of channels at once, with an exponential size of its own in each: it has nothing to do with the
activations, but where it strikes one channel it tells of the others. The truth is a: a model that follows the artefacts is further from it.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from lfads_plugins_emg.synthetic_settings import EMGConfig, train_trials

FLOOR = 1e-6
"""Smallest envelope: a gamma of small shape can round to 0 in float32."""


def generate_emg(settings: EMGConfig, rng: np.random.Generator) -> dict[str, np.ndarray | float | str]:
    """Make one session in the data layout.

    Per split: ``encod_data`` and ``recon_data`` (equal), ``truth`` (activations, the mean of each value without artefacts),
    ``latents`` (synergies), ``artefacts`` (what was added).
    """
    latents = synergies(settings, rng)
    truth = activations(latents, settings, rng)
    added = artefacts(settings, rng)
    values = np.maximum(rng.gamma(settings.shape, truth / settings.shape) + added, FLOOR)
    arrays: dict[str, np.ndarray | float | str] = {"bin_ms": float(settings.bin_ms), "truth_units": "expected envelope without artefacts"}
    train = train_trials(settings)
    for name, rows in (("train", slice(0, train)), ("valid", slice(train, None))):
        envelopes = values[rows].astype(np.float32)
        arrays[f"{name}_encod_data"] = envelopes
        arrays[f"{name}_recon_data"] = envelopes
        arrays[f"{name}_truth"] = truth[rows].astype(np.float32)
        arrays[f"{name}_latents"] = latents[rows].astype(np.float32)
        arrays[f"{name}_artefacts"] = added[rows].astype(np.float32)
    return arrays


def synergies(settings: EMGConfig, rng: np.random.Generator) -> Float[np.ndarray, "B T K"]:
    """White noise under a Gaussian kernel, every value with mean 0 and variance 1: no trial begins or ends otherwise than it goes on."""
    width = settings.timescale_ms / settings.bin_ms
    reach = math.ceil(4 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.normal(size=(settings.trials, settings.bins + 2 * reach, settings.synergies))
    windows = np.lib.stride_tricks.sliding_window_view(noise, kernel.size, axis=1)
    smooth: np.ndarray = windows @ kernel
    return smooth


def activations(latents: Float[np.ndarray, "B T K"], settings: EMGConfig, rng: np.random.Generator) -> Float[np.ndarray, "B T N"]:
    """Muscles weigh the synergies with weights >= 0; each activation has mean 1 over the session."""
    weights = np.abs(rng.normal(size=(settings.channels, settings.synergies)))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    active = np.exp(settings.modulation * (latents @ weights.T))
    scaled: np.ndarray = active / active.mean(axis=(0, 1))
    return scaled


def artefacts(settings: EMGConfig, rng: np.random.Generator) -> Float[np.ndarray, "B T N"]:
    """What is added: mostly 0, and in the struck bins exponential values in a share of the channels."""
    chance = min(settings.artefact_rate * settings.bin_ms / 1000, 1.0)
    struck = rng.random((settings.trials, settings.bins, 1)) < chance
    channels = rng.random((settings.trials, settings.bins, settings.channels)) < settings.artefact_channels
    size = rng.exponential(settings.artefact_size, (settings.trials, settings.bins, settings.channels))
    added: np.ndarray = np.where(struck & channels, size, 0.0)
    return added
