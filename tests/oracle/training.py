"""AdamW steps on the oracle's gradients, and the schedules around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from oracle.arrays import Array
from oracle.case import Case
from oracle.derive import gradients
from oracle.lfads_numpy import run

CLIP_GUARD = 1e-6


@dataclass(kw_only=True)
class AdamW:
    """AdamW with one learning rate. The decay multiplies the weight by 1 - lr * decay before the step."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    steps: int = 0
    first: dict[str, Array] = field(default_factory=dict)
    second: dict[str, Array] = field(default_factory=dict)

    def step(self, weights: Mapping[str, Array], grads: Mapping[str, Array], weight_decay: float) -> dict[str, Array]:
        """New weights; those without a gradient stay."""
        self.steps += 1
        b1, b2 = self.betas
        out = dict(weights)
        for name, g in grads.items():
            self.first[name] = b1 * self.first.get(name, np.zeros_like(g)) + (1 - b1) * g
            self.second[name] = b2 * self.second.get(name, np.zeros_like(g)) + (1 - b2) * g * g
            m = self.first[name] / (1 - b1**self.steps)
            v = self.second[name] / (1 - b2**self.steps)
            out[name] = weights[name] * (1 - self.lr * weight_decay) - self.lr * m / (np.sqrt(v) + self.eps)
        return out


def clip_by_norm(grads: Mapping[str, Array], limit: float) -> tuple[dict[str, Array], float]:
    """All gradients times min(1, limit / (norm + 1e-6)), and the norm before."""
    norm = float(np.sqrt(sum((g * g).sum() for g in grads.values())))
    return {name: g * min(1.0, limit / (norm + CLIP_GUARD)) for name, g in grads.items()}, norm


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One row per step, named as in the files, and the weights at the end."""

    steps: dict[str, Array]
    final_weights: Mapping[str, Array]


def train(cases: list[Case], names: list[str], *, epochs: int, lr: float, weight_decay: float, grad_clip: float) -> Trajectory:
    """Train from ``cases[0].weights``. ``cases`` has one entry per step (its own batch, noise and masks), the same number in each epoch."""
    per_epoch = len(cases) // epochs
    optimiser = AdamW(lr=lr)
    weights = cases[0].weights
    rows: dict[str, list[float]] = {}
    for i, case in enumerate(cases):
        epoch = i // per_epoch
        now = replace(case, weights=weights, config={**case.config, "current_epoch": epoch})
        loss = run(now).loss
        clipped, norm = clip_by_norm(gradients(now, names), grad_clip)
        decay = weight_decay * float(loss["l2_ramp"])
        weights = optimiser.step(weights, clipped, decay)
        row = {name: float(loss[name].real) for name in ("recon", "l2", "ic_kl", "co_kl", "kl_ramp", "l2_ramp")}
        row |= {"loss": float(loss["total"]), "grad_norm": norm, "weight_decay": decay, "epoch": epoch, "batch": i % per_epoch}
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    return Trajectory(steps={name: np.array(values, dtype=np.float64) for name, values in rows.items()}, final_weights=weights)


def reduce_on_plateau(metric: list[float], *, lr_init: float, lr_decay: float, lr_stop: float, lr_patience: int) -> list[float]:
    """Learning rate after each epoch: times ``lr_decay`` once more than ``lr_patience`` epochs in a row brought no new lowest metric."""
    lr, lowest, waited, out = lr_init, np.inf, 0, []
    for value in metric:
        if value < lowest:
            lowest, waited = value, 0
        else:
            waited += 1
        if waited > lr_patience:
            lr, waited = max(lr * lr_decay, lr_stop), 0
        out.append(lr)
    return out
