"""The learning rate of an epoch."""

from __future__ import annotations

import math

from lfads_core.config.schema import OptimConfig


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
