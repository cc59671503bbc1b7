"""What is watched from epoch to epoch: the learning rate's decay, the best model, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lfads_core.config.schema import OptimConfig, RampConfig, RegularisationConfig


@dataclass
class Plateau:
    """Learning rate that falls when a cost has not improved for more than ``patience`` epochs."""

    config: OptimConfig
    lr: float
    best: float = math.inf
    bad_epochs: int = 0

    def update(self, cost: float) -> float:
        """Take one epoch's cost and return the rate for the next. Any improvement counts, however small."""
        if cost < self.best:
            self.best, self.bad_epochs = cost, 0
        else:
            self.bad_epochs += 1
        if self.config.schedule == "plateau" and self.bad_epochs > self.config.patience:
            self.lr, self.bad_epochs = max(self.lr * self.config.decay, self.config.min_lr), 0
        return self.lr

    @property
    def at_floor(self) -> bool:
        """Whether the rate has fallen to its least value."""
        return self.lr <= self.config.min_lr

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {"start_lr": self.config.lr, "lr": self.lr, "best": _or_none(self.best), "bad_epochs": self.bad_epochs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.lr, self.best, self.bad_epochs = float(state["lr"]), _or_infinity(state["best"]), int(state["bad_epochs"])


@dataclass
class BestSoFar:
    """The epoch with the least cost; epochs before the ramps have ended do not count, for their cost is not yet the full one."""

    first_epoch: int
    cost: float = math.inf
    epoch: int = -1

    def update(self, epoch: int, cost: float) -> bool:
        """Take one epoch's cost; say whether it is the best."""
        if epoch < self.first_epoch or not cost < self.cost:
            return False
        self.cost, self.epoch = cost, epoch
        return True

    def epochs_without_better(self, epoch: int) -> int:
        """Epochs since the best, or since the ramps ended when there is none."""
        return epoch - (self.epoch if self.epoch >= 0 else self.first_epoch - 1)

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {"cost": _or_none(self.cost), "epoch": self.epoch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.cost, self.epoch = _or_infinity(state["cost"]), int(state["epoch"])


def ramps_end(config: RegularisationConfig) -> int:
    """First epoch (from 0) in which every ramp stands at 1."""

    def end(ramp: RampConfig) -> int:
        return ramp.start_epoch + ramp.increase_epochs

    return max(end(config.kl_ramp), end(config.l2_ramp))


def _or_none(cost: float) -> float | None:
    """JSON knows no infinity."""
    return cost if math.isfinite(cost) else None


def _or_infinity(cost: float | None) -> float:
    return math.inf if cost is None else float(cost)
