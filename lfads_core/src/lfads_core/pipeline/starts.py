"""Where the read-ins of new days start: at that of several starts from which a short training comes nearest to the days before."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import attrs
import torch
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.config.schema import RunConfig
from lfads_core.errors import NumericsError
from lfads_core.infer.alignment import alignments_of, distances
from lfads_core.model.build import build_model
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_core.train.data import TrainingData
from lfads_core.train.loop import fit
from lfads_core.train.trainer import Trainer

STARTS = 8
"""Most starts that are tried. From random ones about half of the trainings end in a mirror image of the dynamics, if these have one."""

Stacks = tuple[AugmentationStack, AugmentationStack]


def nearest_start(
    model: LFADS,
    description: ModelDescription,
    config: RunConfig,
    data: TrainingData,
    stacks: Stacks,
    within: Mapping[str, float],
    registry: Registry,
) -> int:
    """Have the read-in of each new session start where it comes near the sessions before; returns how many starts were tried.

    The first start is the one that the model has. A training as short as ``config`` says is tried from it, and for sessions whose distance is
    then larger than ``within`` from another one, with fresh weights, until all are near, there were :data:`STARTS`, or all together took
    as long as a training may. Each session gets the start that came nearest; all else in the model is as it was.

    Raises:
        PluginError: an alignment gives no distance.
    """
    before = _kept(model.state_dict())
    nearest: dict[str, tuple[float, Mapping[str, Tensor]]] = {}
    far: Collection[str] = list(within)
    minutes = config.train.minutes
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    for number in range(STARTS):
        if number:
            _begin_anew(model, description, config, (config.train.seed + number) % 2**63, far, registry)
        starts = {name: _kept(model.readins[name].state_dict()) for name in within}
        left = _left(model, description, config, data, stacks)
        for name, start in starts.items():
            share = left[name] / max(within[name], torch.finfo().tiny)
            if name not in nearest or share < nearest[name][0]:
                nearest[name] = share, start
        model.load_state_dict(before)
        for name, (_, best) in nearest.items():
            model.readins[name].load_state_dict(best)
        far = [name for name, (share, _) in nearest.items() if share > 1]
        seconds = end - time.monotonic()
        if not far or seconds <= 0:
            break
        if minutes is not None:
            config = attrs.evolve(config, train=attrs.evolve(config.train, minutes=seconds / 60))
    return number + 1


def _begin_anew(model: LFADS, description: ModelDescription, config: RunConfig, seed: int, sessions: Collection[str], registry: Registry) -> None:
    fresh = build_model(attrs.evolve(config, train=attrs.evolve(config.train, seed=seed)), description, registry)
    for name in sessions:
        model.readins[name].load_state_dict(fresh.readins[name].state_dict())


def _left(model: LFADS, description: ModelDescription, config: RunConfig, data: TrainingData, stacks: Stacks) -> dict[str, float]:
    """Each aligned session's distance after a training that leaves nothing behind but the weights; infinite if these diverge."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Run.create(Path(folder) / "start"), config, model, description, data, stacks)
        try:
            fit(trainer, lambda _: None, lambda: False)
        except NumericsError:
            return dict.fromkeys(alignments_of(model), math.inf)
    return distances(model, config, stacks[1], data.sessions)


def _kept(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}
