"""GRU over time in C; see the reference for the mathematics and ``source/gru.h`` for the loops.

Forward keeps the gates of each bin; backward re-runs nothing and returns the gradient of every argument, sums over bins and
trials included. What the C code does not cover (other devices and types) goes to :mod:`lfads_core.recurrence.fused_gru`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.recurrence import fused_gru
from lfads_core.recurrence.compiled.library import Library, covers, load
from lfads_core.recurrence.compiled.records import GRUJob, grouped, pointer, readable, view
from lfads_core.recurrence.weights import GRUWeights


def gru(x: Float[Tensor, "*B T I"], h0: Float[Tensor, "*B H"], weights: GRUWeights, *, clip: float, reverse: bool = False) -> Float[Tensor, "*B T H"]:
    """Run a GRU over time with the library of this machine; see the reference for the mathematics."""
    return gru_by(load(), x, h0, weights, clip=clip, reverse=reverse)


def gru_by(
    library: Library, x: Float[Tensor, "*B T I"], h0: Float[Tensor, "*B H"], weights: GRUWeights, *, clip: float, reverse: bool = False
) -> Float[Tensor, "*B T H"]:
    """The same with a library given."""
    given = x, h0, weights.input, weights.recurrent, weights.bias
    if not covers(*given):
        return fused_gru.gru(x, h0, weights, clip=clip, reverse=reverse)
    members = weights.input.shape[:-2]
    count = members[0] if members else 1
    arguments = (
        grouped(x, count, 2),
        grouped(h0, count, 1),
        *(value if members else value.unsqueeze(0) for value in given[2:]),
    )
    if torch.is_grad_enabled() and any(value.requires_grad for value in given):
        states: Tensor = CompiledGRU.apply(library, *arguments, clip, reverse)  # type: ignore[no-untyped-call]
    else:
        states, _ = run_forward(library, *arguments, clip, reverse, keep=False)
    return states.view(*x.shape[:-1], h0.shape[-1])


def job_of(x: Tensor, h0: Tensor, weights: tuple[Tensor, ...], states: Tensor, gates: Tensor | None, clip: float, reverse: bool) -> GRUJob:
    """The record of a call, without gradients; it does not keep its tensors alive."""
    members, trials, bins, inputs = x.shape
    return GRUJob(
        members=members, trials=trials, bins=bins, inputs=inputs, hidden=h0.shape[-1], threads=torch.get_num_threads(), reverse=reverse, clip=clip,
        x=view(x), h0=view(h0), input=pointer(weights[0]), recurrent=pointer(weights[1]), bias=pointer(weights[2]),
        states=pointer(states), gates=pointer(gates),
    )  # fmt: skip


def run_forward(
    library: Library,
    x: Float[Tensor, "M B T I"],
    h0: Float[Tensor, "M B H"],
    w_input: Float[Tensor, "M H3 I"],
    recurrent: Float[Tensor, "M H3 H"],
    bias: Float[Tensor, "M H3"],
    clip: float,
    reverse: bool,
    *,
    keep: bool,
) -> tuple[Float[Tensor, "M B T H"], Tensor | None]:
    """States of all bins and, if they are to be kept, the gates."""
    x, h0 = readable(x), readable(h0)
    weights = w_input.contiguous(), recurrent.contiguous(), bias.contiguous()
    hidden = h0.shape[-1]
    states = x.new_empty(*x.shape[:-1], hidden)
    gates = x.new_empty(x.shape[:-1].numel() * 3 * library.padded(hidden, x.dtype)) if keep else None
    library.call("gru_forward", x.dtype, job_of(x, h0, weights, states, gates, clip, reverse))
    return states, gates


class CompiledGRU(torch.autograd.Function):
    """x (M, B, T, I), h0 (M, B, H), weights (M, 3H, ·) -> states (M, B, T, H)."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - autograd sees tensors only as arguments of their own
        ctx: Any, library: Library, x: Tensor, h0: Tensor, w_input: Tensor, recurrent: Tensor, bias: Tensor, clip: float, reverse: bool
    ) -> Tensor:
        """One call."""
        states, gates = run_forward(library, x, h0, w_input, recurrent, bias, clip, reverse, keep=True)
        ctx.save_for_backward(x, h0, w_input, recurrent, bias, states, gates)
        ctx.library, ctx.clip, ctx.reverse = library, clip, reverse
        ctx.set_materialize_grads(False)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        """One call."""
        if grad is None:
            return (None,) * 8
        *inputs, states, gates = ctx.saved_tensors
        x, h0, *weights = inputs
        x, h0, grad = readable(x), readable(h0), readable(grad)
        weights = tuple(value.contiguous() for value in weights)
        job = job_of(x, h0, weights, states, gates, ctx.clip, ctx.reverse)
        job.grad = view(grad)
        grads = [torch.empty_like(value, memory_format=torch.contiguous_format) if needed else None
                 for value, needed in zip(inputs, ctx.needs_input_grad[1:6], strict=True)]  # fmt: skip
        for name, value in zip(("d_x", "d_h0", "d_input", "d_recurrent", "d_bias"), grads, strict=True):
            setattr(job, name, pointer(value))
        ctx.library.call("gru_backward", x.dtype, job)
        return None, *grads, None, None
