"""Magnitude pruning: the smallest weights become 0 at one moment of the training, and stay so (Han et al. 2015)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.model.freeze import prunable
from lfads_core.model.lfads import LFADS
from lfads_core.train.optim import AdamW
from lfads_core.train.schedule import ramps_end
from lfads_core.train.state import TrainingState, trained_names

log = logging.getLogger(__name__)


@torch.no_grad()
def prune(model: LFADS, optimizer: AdamW, progress: TrainingState, config: RunConfig) -> bool:
    """Choose the weights that ``train.prune`` makes 0 and have the optimiser keep them so; False if it is too early or done.

    Masks chosen under other settings hold until those of ``config`` are due, and end when it asks for no pruning.

    Raises:
        ConfigError: a name fits no parameter that is trained.
    """
    asked = config.train.prune
    if asked is None:
        optimizer.pruned, progress.pruned = {}, None
        return False
    settings = {"fraction": asked.fraction, "names": list(asked.names)}
    done = progress.pruned
    if progress.epoch < asked.start_epoch or (done is not None and settings == {key: done[key] for key in settings}):
        return False
    chosen, parameters, trained = prunable(model, config.train), dict(model.named_parameters()), trained_names(model)
    masks = {trained.index(name): smallest(parameters[name], asked.fraction) for name in trained if name in chosen}
    for i, mask in masks.items():
        optimizer.params[i].masked_fill_(mask, 0.0)
    optimizer.pruned, progress.pruned = masks, {**settings, "epoch": progress.epoch}
    log.info(
        "pruned: %d of %d weights of %d parameters are 0 from epoch %d on",
        sum(int(mask.sum()) for mask in masks.values()), sum(mask.numel() for mask in masks.values()), len(masks), progress.epoch + 1,
    )  # fmt: skip
    return True


def smallest(values: Float[Tensor, "..."], fraction: float) -> Bool[Tensor, "..."]:
    """True at the ``round(fraction * n)`` of n values that are nearest to 0; of equal ones the first."""
    order = values.detach().abs().flatten().argsort(stable=True)
    mask = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    mask[order[: round(fraction * values.numel())]] = True
    return mask.view(values.shape)


def first_judged(config: RunConfig, pruned: Mapping[str, Any] | None) -> int:
    """First epoch (from 0) that can be the best: every ramp stands at 1, and what is to be pruned has been."""
    ramped, asked = ramps_end(config.regularisation), config.train.prune
    if asked is None:
        return ramped
    return max(ramped, asked.start_epoch if pruned is None else int(pruned["epoch"]))
