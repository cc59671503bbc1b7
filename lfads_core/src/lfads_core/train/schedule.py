"""How the learning rate falls: along a schedule, or when a cost improves no longer; and when the ramps of the loss end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lfads_core.config.fields import known
from lfads_core.config.schema import OptimConfig, RampConfig, RegularisationConfig


def learning_rate(config: OptimConfig, lr: float, epoch: int, epochs: int) -> float:
    """Rate of an epoch, counted from 0, of a training of so many ``epochs``; ``lr`` is what it is without schedule and warm-up.

    ::

        cosine: min + (lr - min)/2 (1 + cos(π e / E)),  step: lr decay^⌊e / step⌋,  exponential: lr decay^e,

    never below ``min_lr``, and in the first W epochs times ``(e + 1) / (W + 1)``. With the schedules plateau and constant it is ``lr``.
    """
    floor = min(config.min_lr, lr)
    if config.schedule == "cosine":
        scheduled = floor + (lr - floor) / 2 * (1 + math.cos(math.pi * min(epoch, epochs) / epochs))
    elif config.schedule == "step":
        scheduled = max(lr * config.decay ** (epoch // config.step_epochs), floor)
    elif config.schedule == "exponential":
        scheduled = max(lr * config.decay**epoch, floor)
    else:
        scheduled = lr
    return scheduled if epoch >= config.warmup_epochs else scheduled * (epoch + 1) / (config.warmup_epochs + 1)


def has_fallen(config: OptimConfig, lr: float, epoch: int) -> bool:
    """Whether a schedule that falls without end has come to its floor."""
    falls = {"step": epoch // config.step_epochs, "exponential": epoch}.get(config.schedule)
    return falls is not None and lr * config.decay**falls <= config.min_lr * (1 + 1e-9)  # powers are rounded


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
        if self.config.schedule == "plateau" and self.bad_epochs > known(self.config.patience, "optim.patience"):
            self.lr, self.bad_epochs = max(self.lr * self.config.decay, self.config.min_lr), 0
        return self.lr

    @property
    def at_floor(self) -> bool:
        """Whether the rate has fallen to its least value."""
        return self.lr <= self.config.min_lr

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {"start_lr": self.config.lr, "lr": self.lr, "best": none_if_infinite(self.best), "bad_epochs": self.bad_epochs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.lr, self.best, self.bad_epochs = float(state["lr"]), infinite_if_none(state["best"]), int(state["bad_epochs"])


def ramps_end(config: RegularisationConfig) -> int:
    """First epoch (from 0) in which every ramp stands at 1."""

    def end(ramp: RampConfig) -> int:
        return ramp.start_epoch + known(ramp.increase_epochs, "increase_epochs")

    return max(end(config.kl_ramp), end(config.l2_ramp))


def none_if_infinite(cost: float) -> float | None:
    """What stands for a cost in a checkpoint: JSON knows no infinity."""
    return cost if math.isfinite(cost) else None


def infinite_if_none(cost: float | None) -> float:
    """The cost that :func:`none_if_infinite` wrote."""
    return math.inf if cost is None else float(cost)
