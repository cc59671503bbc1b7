"""Where the controller finds what the directions of its encoder know: side by side, late and early by a lag."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

TURNED = (False, True)
"""Whether a direction reads from the last bin to the first."""


def lagged(states: Float[Tensor, "W *B Te C"], lag: int, before: int, bins: int) -> Float[Tensor, "*B T WC"]:
    """States of one direction or two, each in the order in which it reads, at ``bins`` bins of which they know nothing in the ``before`` first ones.

    Those of the first come ``lag`` bins late, those of the second as many early; zeros stand where nothing is known.
    """
    laid: Tensor = Lagged.apply(states, lag, before, bins)  # type: ignore[no-untyped-call]
    return laid


class Lagged(torch.autograd.Function):
    """One copy there and one back; padding, turning round and joining would each write all of it anew, and so would their gradients."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, lag: int, before: int, bins: int) -> Tensor:
        """Lay the states side by side."""
        seen, width = states.shape[-2:]
        told = max(seen - lag, 0)
        windows = slice(before + seen - told, before + seen), slice(before, before + told)
        laid = states.new_zeros(*states.shape[1:-2], bins, states.shape[0] * width)
        for state, part, window, turned in zip(states, laid.split(width, dim=-1), windows, TURNED, strict=False):
            known = state[..., :told, :]
            part[..., window, :] = known.flip(-2) if turned else known
        ctx.shape, ctx.told, ctx.windows = states.shape, told, windows
        return laid

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Take them apart again; what nobody was told has no gradient."""
        given = grad.new_empty(ctx.shape)
        if ctx.told < ctx.shape[-2]:
            given[..., ctx.told :, :] = 0
        for state, part, window, turned in zip(given, grad.split(ctx.shape[-1], dim=-1), ctx.windows, TURNED, strict=False):
            known = part[..., window, :]
            state[..., : ctx.told, :] = known.flip(-2) if turned else known
        return given, None, None, None
