"""Days of one recording: the dynamics and what is done with them stay, the neurons that are seen of them drift.

    log rate_n(t) = a_n + g_n + w_n . s(t),   behaviour(t) = B s(t) + noise

s is the standardised state of a Lorenz system (:mod:`lfads_plugins_std.lorenz`), in the same conditions on every day, and B the same
for all days, with rows of unit length. From one day to the next some channels fall silent, some get another neuron, all change
their gain exp(g_n), and some change places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lfads_plugins_std.drifting_settings import DriftingConfig
from lfads_plugins_std.lorenz import Arrays, expected_counts, record, trajectories

DIMENSIONS = 2
SILENT = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Array:
    """What the channels see on one day."""

    neuron: Int[np.ndarray, " N"]  # number of the neuron at each channel; SILENT: none
    expected: Float[np.ndarray, "K T N"]  # counts per bin


def generate_drifting(settings: DriftingConfig, rng: np.random.Generator) -> dict[str, Arrays]:
    """Make ``day1``, ``day2`` and so on in the data layout.

    Beside what the Lorenz data have, each split holds ``behavior`` (trials, bins, 2), and each file ``channel_neuron``: the number
    of the neuron at each channel, -1 where there is none.
    """
    latents = trajectories(settings, rng)
    mixing = rng.normal(size=(3, DIMENSIONS))
    moved = latents @ (mixing / np.linalg.norm(mixing, axis=0))
    days: dict[str, Arrays] = {}
    seen = Array(neuron=np.arange(settings.channels), expected=expected_counts(latents, settings, rng))
    for number in range(1, settings.sessions + 1):
        if number > 1:
            seen = drifted(seen, latents, settings, rng)
        day = record(latents, seen.expected, settings, rng)
        for split in ("train", "valid"):
            clean = moved[day[f"{split}_cond"]]
            day[f"{split}_behavior"] = (clean + settings.behaviour_noise * rng.normal(size=clean.shape)).astype(np.float32)
        days[f"day{number}"] = {**day, "channel_neuron": seen.neuron, "behavior": "velocity of a cursor"}
    return days


def drifted(seen: Array, latents: Float[np.ndarray, "K T 3"], settings: DriftingConfig, rng: np.random.Generator) -> Array:
    """The next day's channels."""
    neuron, expected, channels = seen.neuron.copy(), seen.expected.copy(), settings.channels
    heard = rng.permutation(np.flatnonzero(neuron != SILENT))
    lost, rest = np.split(heard, [min(round(settings.lost * channels), len(heard))])
    gained = np.concatenate([np.flatnonzero(neuron == SILENT), rest, lost])[: round(settings.gained * channels)]
    neuron[lost], expected[..., lost] = SILENT, 0.0
    expected *= np.exp(settings.rescaled * rng.normal(size=channels))
    neuron[gained] = neuron.max() + 1 + np.arange(len(gained))
    expected[..., gained] = expected_counts(latents, settings, rng)[..., gained]
    place = np.arange(channels)
    moving = np.flatnonzero(rng.permutation(channels) < round(settings.permuted * channels))
    place[moving] = rng.permutation(moving)
    return Array(neuron=neuron[place], expected=expected[..., place])
