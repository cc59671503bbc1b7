"""GRU over time in C; see the reference for the mathematics and ``source/gru.h`` for the loops.

Forward keeps the gates of each bin; backward re-runs nothing and returns the gradient of every argument, sums over bins and
trials included. What the C code does not cover (other devices and types) goes to :mod:`lfads_core.recurrence.fused_gru`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.recurrence import composed, fused_gru
from lfads_core.recurrence.weights import GRUWeights
from lfads_plugins_std.compiled.library import Library, covers, load
from lfads_plugins_std.compiled.records import GRUJob, grouped, pointer, readable, view


def gru(
    x: Float[Tensor, "*B T I"],
    h0: Float[Tensor, "*B H"],
    weights: GRUWeights,
    *,
    clip: float,
    reverse: bool = False,
    library: Library | None = None,
) -> Float[Tensor, "*B T H"]:
    """Run a GRU over time with a library (None: that of this machine); see the reference for the mathematics."""
    given = x, h0, weights.input, weights.recurrent, weights.bias
    if not covers(*given):
        return fused_gru.gru(x, h0, weights, clip=clip, reverse=reverse)
    return _computed(library or load(), given, clip, reverse=reverse).view(*x.shape[:-1], h0.shape[-1])


def last(
    x: Float[Tensor, "*B T I"], h0: Float[Tensor, "*B H"], weights: GRUWeights, *, clip: float, library: Library | None = None
) -> Float[Tensor, "*B H"]:
    """The state after the last bin, whose gradient is not written out for all bins."""
    given = x, h0, weights.input, weights.recurrent, weights.bias
    if not covers(*given):
        return composed.last(fused_gru.gru, x, h0, weights, clip=clip)
    return _computed(library or load(), given, clip, only_last=True).view(h0.shape)


def _computed(library: Library, given: tuple[Tensor, ...], clip: float, *, reverse: bool = False, only_last: bool = False) -> Tensor:
    """States (M, B, T, H), or the last alone (M, B, H)."""
    x, h0, *learned = given
    members = learned[0].shape[:-2]
    count = members[0] if members else 1
    arguments = [grouped(x, count, 2), grouped(h0, count, 1), *(value if members else value.unsqueeze(0) for value in learned)]
    if torch.is_grad_enabled() and any(value.requires_grad for value in given):
        found: Tensor = CompiledGRU.apply(library, clip, reverse, only_last, *arguments)  # type: ignore[no-untyped-call]
        return found
    states, _ = run_forward(library, clip, reverse, arguments, keep=False)
    return states[:, :, -1] if only_last else states


def laid_out(arguments: Sequence[Tensor]) -> list[Tensor]:
    """x (M, B, T, I), h0 (M, B, H), and weights (M, 3H, ·) as the C code can read them."""
    return [*map(readable, arguments[:2]), *(value.contiguous() for value in arguments[2:])]


def job_of(arguments: Sequence[Tensor], states: Tensor, gates: Tensor | None, clip: float, reverse: bool) -> GRUJob:
    """The record of a call, without gradients; it does not keep its tensors alive."""
    x, h0, *weights = arguments
    members, trials, bins, inputs = x.shape
    return GRUJob(
        members=members, trials=trials, bins=bins, inputs=inputs, hidden=h0.shape[-1], threads=torch.get_num_threads(), reverse=reverse, clip=clip,
        x=view(x), h0=view(h0), input=pointer(weights[0]), recurrent=pointer(weights[1]), bias=pointer(weights[2]),
        states=pointer(states), gates=pointer(gates),
    )  # fmt: skip


def run_forward(library: Library, clip: float, reverse: bool, arguments: Sequence[Tensor], *, keep: bool) -> tuple[Tensor, Tensor | None]:
    """States of all bins (M, B, T, H) and, if they are to be kept, the gates."""
    x, h0, *weights = laid_out(arguments)
    hidden = h0.shape[-1]
    states = x.new_empty(*x.shape[:-1], hidden)
    gates = x.new_empty(x.shape[:-1].numel() * 3 * library.padded(hidden, x.dtype)) if keep else None
    library.call("gru_forward", x.dtype, job_of([x, h0, *weights], states, gates, clip, reverse))
    return states, gates


class CompiledGRU(torch.autograd.Function):
    """x (M, B, T, I), h0 (M, B, H), weights (M, 3H, ·) -> states (M, B, T, H), or the last of them (M, B, H)."""

    @staticmethod
    def forward(ctx: Any, library: Library, clip: float, reverse: bool, only_last: bool, *arguments: Tensor) -> Tensor:
        """One call."""
        states, gates = run_forward(library, clip, reverse, arguments, keep=True)
        ctx.save_for_backward(*arguments, states, gates)
        ctx.library, ctx.clip, ctx.reverse, ctx.only_last = library, clip, reverse, only_last
        ctx.set_materialize_grads(False)
        return states[:, :, -1].clone() if only_last else states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        """One call."""
        *arguments, states, gates = ctx.saved_tensors
        if grad is None:
            return (None,) * (4 + len(arguments))
        given, grad = laid_out(arguments), readable(grad)
        job = job_of(given, states, gates, ctx.clip, ctx.reverse)
        setattr(job, "d_last" if ctx.only_last else "d_states", view(grad))
        grads = [torch.empty_like(value, memory_format=torch.contiguous_format) if needed else None
                 for value, needed in zip(arguments, ctx.needs_input_grad[4:], strict=True)]  # fmt: skip
        for name, value in zip(("d_x", "d_h0", "d_input", "d_recurrent", "d_bias"), grads, strict=True):
            setattr(job, name, pointer(value))
        ctx.library.call("gru_backward", grad.dtype, job)
        return None, None, None, None, *grads
