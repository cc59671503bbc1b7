"""Settings that are found from the recording: what a training takes where the settings say ``auto``.

Lengths are in optimiser steps, for these are what trains a model: an epoch of 3 trials and one of 20,000 have nothing else in common.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import attrs

from lfads_core.config.chosen import Component
from lfads_core.config.fields import AUTO
from lfads_core.config.schema import DROPOUT, RunConfig
from lfads_core.data.session import Session

log = logging.getLogger(__name__)

SHARE, FEW, MANY = 1 / 4, 16, 64
"""A step takes this share of the training trials, but no fewer and no more than these."""

EPOCH = 12
"""Least steps of an epoch, after each of which there is a validation and a checkpoint."""

LENGTHS = {
    "regularisation.kl_ramp.increase_epochs": (100, 1),
    "regularisation.l2_ramp.increase_epochs": (100, 1),
    "optim.patience": (60, 1),
    "train.early_stopping": (600, 10),
    "train.metrics_every": (60, 1),
}
"""Steps that a setting in epochs amounts to, and the least number of epochs."""

PAST, AVERAGE = 36, 100
"""Steps over which the validation cost is smoothed, and weights are averaged."""

FEW_TRIALS, DROPOUT_OF_FEW = 32, 0.5
"""With fewer training trials, which a model learns by heart, this share of units is dropped."""

AS_A_DISTANCE = 0.1
"""What a unit of an alignment's distance costs, in nats of reconstruction of one value."""

SHARES_OF_ELBO = {"regularisation.kl_ic": 0.03, "regularisation.kl_inputs": 0.01}
"""What a nat of divergence costs, in nats of reconstruction."""


def resolve_auto(config: RunConfig, sessions: Sequence[Session]) -> RunConfig:
    """The same settings with a number wherever they said ``auto``; those that say a number keep it.

    With n training trials, B of them in a step and R passes an epoch has ``s = R ceil(n / B)`` steps. With T bins and N channels the
    loss is an ELBO times a constant where the KL scales are 1 / (T N), or 1 if reconstruction is summed; of inputs whose divergence is a
    mean over bins, T times that. A term of 1 of a further loss costs as much as a nat in each bin of one channel.
    """
    found: dict[str, int | float] = {}

    def take(path: str, number: float) -> Any:
        said: Any = reduce(getattr, path.split("."), config)
        if said != AUTO:
            return said
        found[path] = number
        return number

    trials = max(sum(session.trials("train") for session in sessions), 1)
    batch = take("data.batch_size", min(max(round(SHARE * trials), FEW), MANY, trials))
    once = math.ceil(trials / batch)
    steps = once * take("data.passes", math.ceil(EPOCH / once))
    for path, (length, least) in LENGTHS.items():
        take(path, max(math.ceil(length / steps), least))
    take("train.smoothing", round(math.exp(-steps / PAST), 3))
    take("train.average", AVERAGE)
    take("model.dropout", DROPOUT_OF_FEW if trials < FEW_TRIALS else DROPOUT)
    sizes = [session.splits["train"].recon.shape[1:] for session in sessions]
    weight = 1.0 if config.regularisation.reduce == "sum" else _mean([1 / math.prod(size) for size in sizes])
    for path, share in SHARES_OF_ELBO.items():
        bins = sizes[0][0] if path.endswith("inputs") and _averages(config.components.input_prior) else 1
        take(path, float(f"{share * weight * bins:.2e}"))
    channel = _mean([bins for bins, _ in sizes]) if config.regularisation.reduce == "sum" else _mean([1 / channels for _, channels in sizes])
    ramp = max(math.ceil(LENGTHS["regularisation.kl_ramp.increase_epochs"][0] / steps), 1)
    parts: dict[str, Any] = {
        "losses": _settled(config, "losses", {"increase_epochs": ramp, "scale": float(f"{channel:.2e}")}, found),
        "latents": _settled(config, "latents", {"kl": float(f"{SHARES_OF_ELBO['regularisation.kl_ic'] * weight:.2e}")}, found),
    }
    alignment = config.components.alignment
    if alignment is not None:
        scale = AS_A_DISTANCE * (_mean([math.prod(size) for size in sizes]) if config.regularisation.reduce == "sum" else 1.0)
        parts["alignment"] = _settled_part(alignment, "components.alignment", {"scale": float(f"{scale:.2e}")}, found)
    if found:
        log.info("settings found from the recording: %s", ", ".join(f"{path}={number:g}" for path, number in found.items()))
    own = {path: number for path, number in found.items() if not path.startswith("components.")}
    config = reduce(lambda so_far, item: _with(so_far, item[0].split("."), item[1]), own.items(), config)
    return attrs.evolve(config, components=attrs.evolve(config.components, **parts))


def _settled(config: RunConfig, place: str, numbers: Mapping[str, float], found: dict[str, int | float]) -> tuple[Component, ...]:
    """Components of a list with settings that all of them have; what is found for one is noted."""
    return tuple(_settled_part(part, f"components.{place}.{i}", numbers, found) for i, part in enumerate(getattr(config.components, place)))


def _settled_part(component: Component, path: str, numbers: Mapping[str, float], found: dict[str, int | float]) -> Component:
    own = {key: number for key, number in numbers.items() if getattr(component.settings, key) == AUTO}
    found |= {f"{path}.{key}": number for key, number in own.items()}
    return attrs.evolve(component, settings=attrs.evolve(component.settings, **own))


def _averages(prior: Component | None) -> bool:
    """Whether a prior's settings say that its divergence is a mean over bins; the contract's is a sum."""
    return prior is not None and getattr(prior.settings, "over_time", "sum") == "mean"


def _with(group: Any, way: Sequence[str], value: float) -> Any:
    """The settings with another value at the end of the way."""
    key, *rest = way
    return attrs.evolve(group, **{key: _with(getattr(group, key), rest, value) if rest else value})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
