"""The optimiser and the gradient clip."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.config.schema import OptimConfig
from lfads_core.model.lfads import LFADS


def trainable(model: LFADS) -> list[torch.nn.Parameter]:
    """Parameters that training changes, in a fixed order."""
    return [p for p in model.parameters() if p.requires_grad]


def build_optimizer(model: LFADS, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over all trainable parameters; its decay is set per epoch by :func:`set_weight_decay`."""
    return torch.optim.AdamW(trainable(model), lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=0.0, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Make ``lr`` the rate of every parameter; also after a load, which brings the old rate back."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def set_moments(optimizer: torch.optim.Optimizer, config: OptimConfig) -> None:
    """Make ``betas`` and ``eps`` those of the settings; also after a load, which brings the old ones back."""
    for group in optimizer.param_groups:
        group["betas"], group["eps"] = config.betas, config.eps


def set_weight_decay(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Make ``weight_decay`` (already ramped) the decoupled decay of every parameter."""
    for group in optimizer.param_groups:
        group["weight_decay"] = weight_decay


def gradient_norm(model: LFADS) -> Float[Tensor, ""]:
    """Euclidean norm of all gradients together."""
    return torch.nn.utils.get_total_norm([p.grad for p in trainable(model) if p.grad is not None])


def clip_gradients(model: LFADS, norm: Float[Tensor, ""], limit: float | None) -> None:
    """Scale all gradients by ``min(1, limit / (norm + 1e-6))``."""
    if limit is not None:
        torch.nn.utils.clip_grads_with_norm_(trainable(model), limit, norm)
