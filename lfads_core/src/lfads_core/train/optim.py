"""The optimiser and the gradient clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lfads_core.config.schema import OptimConfig
from lfads_core.model.lfads import LFADS


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What the optimiser remembers of one parameter, under the names that torch gives it."""

    step: Float[Tensor, ""]
    exp_avg: Float[Tensor, "..."]
    exp_avg_sq: Float[Tensor, "..."]

    @classmethod
    def zeros(cls, p: Tensor) -> Moments:
        """Nothing yet."""
        like = p.detach()
        return cls(step=torch.zeros((), device=p.device), exp_avg=torch.zeros_like(like), exp_avg_sq=torch.zeros_like(like))


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceRates:
    """Learning rate and decay as numbers on the device, for a step that is captured once and replayed with others."""

    lr: Float[Tensor, ""]  # float32 on a GPU, float64 on a CPU
    kept: Float[Tensor, ""] | None  # 1 - lr λ; None without decay


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) in torch's fused kernel: one pass over weights and moments.

    ::

        w ← (1 - lr λ) w,  m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,
        w ← w - lr m / (1 - β₁ᵏ) / (√(v / (1 - β₂ᵏ)) + ε)

    The same numbers as ``torch.optim.AdamW(fused=True)``, and the same state on disk. That class is not used because making one
    loads torch's compiler, which takes as long and as much memory as torch itself. A parameter without gradient is left alone.
    """

    def __init__(self, params: Sequence[Tensor], *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float = 0.0) -> None:
        self.params = list(params)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.moments: dict[int, Moments] = {}  # by position, from the first step on
        self.pruned: dict[int, Bool[Tensor, "..."]] = {}  # by position: values that are 0 after every step
        self.on_device: DeviceRates | None = None  # what ``lr`` and ``weight_decay`` are read from, if anything

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self, skip: Float[Tensor, ""] | None = None) -> None:
        """Change all parameters that have a gradient; ``skip`` of 1 leaves everything as it is, decided on the device."""
        for device in {p.device for p in self.params}:
            rows = [(i, p, p.grad) for i, p in enumerate(self.params) if p.grad is not None and p.device == device]
            if not rows:
                continue
            moments = self._moments(rows)
            steps = [of.step for of in moments]
            torch._foreach_add_(steps, 1)
            self._change(rows, moments, skip)
            if skip is not None:
                torch._foreach_sub_(steps, [skip] * len(steps))
        self._keep_pruned()

    def _moments(self, rows: Sequence[tuple[int, Tensor, Tensor]]) -> list[Moments]:
        for i, p, _ in rows:
            if i not in self.moments:
                self.moments[i] = Moments.zeros(p)
        return [self.moments[i] for i, *_ in rows]

    def _change(self, rows: Sequence[tuple[int, Tensor, Tensor]], moments: Sequence[Moments], skip: Float[Tensor, ""] | None) -> None:
        """One call of torch's kernel; counts of steps are those after it."""
        lr, decay = self._rate_and_decay([p for _, p, _ in rows], skip)
        torch._fused_adamw_(
            [p for _, p, _ in rows],
            [grad for *_, grad in rows],
            [of.exp_avg for of in moments],
            [of.exp_avg_sq for of in moments],
            [],
            [of.step for of in moments],
            lr=lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
            found_inf=skip,
        )

    def _keep_pruned(self) -> None:
        for i, mask in self.pruned.items():
            self.params[i].masked_fill_(mask, 0.0)

    def _rate_and_decay(self, params: list[Tensor], skip: Float[Tensor, ""] | None) -> tuple[float | Float[Tensor, ""], float]:
        """What torch's kernel takes. It knows no decay that changes on the device, so that is done here then."""
        live = self.on_device
        if live is None:
            return self.lr, self.weight_decay
        if live.kept is not None:
            torch._foreach_mul_(params, live.kept if skip is None else torch.where(skip > 0, 1.0, live.kept))
        return live.lr, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Moments and counts by position, laid out as torch's optimisers lay them out; a parameter never changed has none."""
        group = {"lr": self.lr, "betas": self.betas, "eps": self.eps, "weight_decay": self.weight_decay, "params": list(range(len(self.params)))}
        return {"state": {i: dict(vars(of)) for i, of in sorted(self.moments.items())}, "param_groups": [group]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over moments and counts, copied; rates, betas and decay are those of the settings and stay.

        Raises:
            ValueError: it belongs to other parameters.
        """
        (group,) = state["param_groups"]
        if len(group["params"]) != len(self.params):
            raise ValueError(f"the optimiser's state must be of {len(self.params)} parameters, got {len(group['params'])}")
        found = {i: Moments.zeros(p) for i, p in enumerate(self.params) if i in state["state"]}
        for i, of in found.items():
            for name, mine in vars(of).items():
                kept = state["state"][i][name]
                if kept.shape != mine.shape:
                    raise ValueError(f"'{name}' of parameter {i} must have shape {tuple(mine.shape)}, got {tuple(kept.shape)}")
                mine.copy_(kept)
        self.moments = found


@torch.no_grad()
def step_all(optimizers: Sequence[AdamW], skips: Sequence[Float[Tensor, ""]] | None) -> None:
    """:meth:`AdamW.step` of several on one device, whose steps are counted in one operation."""
    rows = [[(i, p, p.grad) for i, p in enumerate(one.params) if p.grad is not None] for one in optimizers]
    moments = [one._moments(of) for one, of in zip(optimizers, rows, strict=True)]  # noqa: SLF001
    steps = [of.step for each in moments for of in each]
    torch._foreach_add_(steps, 1)
    for number, (one, of, known) in enumerate(zip(optimizers, rows, moments, strict=True)):
        one._change(of, known, None if skips is None else skips[number])  # noqa: SLF001
        one._keep_pruned()  # noqa: SLF001
    if skips is not None:
        torch._foreach_sub_(steps, [skip for skip, known in zip(skips, moments, strict=True) for _ in known])


def trainable(model: LFADS) -> list[torch.nn.Parameter]:
    """Parameters that training changes, in a fixed order."""
    return [p for p in model.parameters() if p.requires_grad]


def build_optimizer(model: LFADS, config: OptimConfig) -> AdamW:
    """AdamW over all trainable parameters; its decay follows a ramp and is set per epoch."""
    return AdamW(trainable(model), lr=config.lr, betas=config.betas, eps=config.eps)


def named_gradients(model: LFADS) -> Iterator[tuple[str, Tensor]]:
    """Gradients of all trainable parameters that have one, in a fixed order."""
    return ((name, p.grad) for name, p in model.named_parameters() if p.requires_grad and p.grad is not None)


def gradient_norms(model: LFADS) -> dict[str, Float[Tensor, ""]]:
    """Euclidean norm of each parameter's gradient."""
    found = dict(named_gradients(model))
    return dict(zip(found, torch._foreach_norm(list(found.values())), strict=True)) if found else {}  # noqa: SLF001 - one call for all


def clip_gradients(params: Sequence[Tensor], norm: Float[Tensor, ""], limit: float | None) -> None:
    """Scale all gradients by ``min(1, limit / (norm + 1e-6))``."""
    if limit is not None:
        grads = [p.grad for p in params if p.grad is not None]
        if grads:
            torch._foreach_mul_(grads, (limit / (norm + 1e-6)).clamp(max=1.0))
