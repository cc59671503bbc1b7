"""The state of a training, and how it becomes a checkpoint and is read back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.train.average import AveragedModel
from lfads_core.train.checkpoint import Checkpoint, to_cpu
from lfads_core.train.means import WeightedMeans
from lfads_core.train.optim import AdamW
from lfads_core.train.schedule import Plateau
from lfads_core.train.smoothing import SmoothedMetric
from lfads_core.train.top_k import BestSoFar, TopK

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class TrainingState:
    """Everything of a training but tensors."""

    plateau: Plateau
    best: BestSoFar
    smoothed: SmoothedMetric
    top_k: TopK
    epoch: int = 0  # the next to be trained, or being trained
    step: int = 0  # the next within it
    rollbacks: int = 0
    seconds: float = 0.0
    pruned: Mapping[str, Any] | None = None  # fraction, names and epoch of the masks that hold, if any do

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "rollbacks": self.rollbacks,
            "seconds": self.seconds,
            "plateau": self.plateau.state(),
            "best": self.best.state(),
            "smoothed": self.smoothed.to_dict(),
            **({} if self.pruned is None else {"pruned": dict(self.pruned)}),
            **({"kept": self.top_k.state()} if self.top_k.costs else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.epoch, self.step, self.rollbacks, self.seconds = state["epoch"], state["step"], state["rollbacks"], state["seconds"]
        self.plateau.restore(state["plateau"])
        self.best.restore(state["best"])
        self.smoothed = replace(SmoothedMetric.from_dict(state["smoothed"]), coef=self.smoothed.coef)
        self.pruned = state.get("pruned")
        self.top_k.restore(state.get("kept", ()))


def snapshot(
    model: LFADS,
    optimizer: AdamW | None,
    description: ModelDescription,
    progress: TrainingState,
    sums: WeightedMeans,
    average: AveragedModel | None = None,
    *,
    copied: Checkpoint | None = None,
) -> Checkpoint:
    """Everything a training needs to go on, copied; without the optimiser's state or an average when that is None.

    ``copied`` is one of the same moment, of the average if there is one: what it holds is not copied again.
    """
    known, arrays = (None, None) if copied is None else (copied.tensors["model"], copied.tensors["arrays"])
    if arrays is None:
        arrays = {s.name: {key: _as_tensor(value) for key, value in s.arrays.items()} for s in description.sessions}
    tensors: dict[str, Any] = {"model": known if average is None and known is not None else to_cpu(model.state_dict()), "arrays": arrays}
    if optimizer is not None:
        tensors["optimizer"] = to_cpu(optimizer.state_dict())
        if optimizer.pruned:
            names = trained_names(model)
            tensors["pruned"] = {names[i]: to_cpu(mask) for i, mask in optimizer.pruned.items()}
    if average is not None:
        own = average.tensors()
        tensors["average"] = to_cpu(own) if known is None else {**to_cpu({**own, "weights": {}}), "weights": known}
    state = {
        "epoch": progress.epoch,
        "step": progress.step,
        "progress": progress.state(),
        "sums": sums.state(),
        "description": description.to_json(),
        "trained": trained_names(model),
    }
    return Checkpoint(tensors=tensors, state=state, copied=_when_copied(model.device))


def _when_copied(device: torch.device) -> torch.cuda.Event | None:
    """What comes about once a GPU has made all copies it was asked for so far."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


def take_over(checkpoint: Checkpoint, model: LFADS, optimizer: AdamW, progress: TrainingState, sums: WeightedMeans) -> None:
    """Put a checkpoint's weights, moments, progress and half-summed averages into place.

    Moments and masks of a training that changed other parameters are left out: the optimiser remembers nothing then.
    """
    model.load_state_dict(checkpoint.tensors["model"])
    progress.restore(checkpoint.state["progress"])
    names = trained_names(model)
    if checkpoint.state.get("trained", names) == names:
        optimizer.load_state_dict(_keyed_by_int(checkpoint.tensors["optimizer"]))
        optimizer.pruned = {names.index(name): mask for name, mask in checkpoint.tensors.get("pruned", {}).items()}
    else:
        log.info("other parameters are trained than before: the optimiser's moments start anew")
        optimizer.pruned, progress.pruned = {}, None  # the zeros are the smallest values: masks made anew hold them again
    sums.restore(checkpoint.state["sums"])


def trained_names(model: LFADS) -> list[str]:
    """Names of the parameters that training changes, in the optimiser's order."""
    return [name for name, p in model.named_parameters() if p.requires_grad]


def _as_tensor(values: np.ndarray) -> torch.Tensor:
    """A copy in a type that torch knows: a file's arrays may be big-endian, read-only or of extended precision."""
    wide = values.dtype.kind == "f" and values.dtype.itemsize > 8
    return torch.from_numpy(np.array(values, dtype=np.float64 if wide else values.dtype.newbyteorder("=")))


def _keyed_by_int(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": {int(key): value for key, value in state["state"].items()}, "param_groups": state["param_groups"]}
