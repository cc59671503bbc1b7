"""GRU over time in one launch each way, for CUDA devices; see the reference for the mathematics and the kernels for the loops.

The input's product is one large product before the loop, the gradients of the weights two after it, as in the hand-written backend.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfads_core.recurrence import fused_gru, reference
from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.triton_launch import LAUNCHES, card_of, on_device_of
from lfads_core.recurrence.triton_tiles import PACKER, Blocks, Products, Tiles, choose_tiles
from lfads_core.recurrence.weights import GRUWeights


def gru(
    x: Float[Tensor, "*B T I"],
    h0: Float[Tensor, "*B H"],
    weights: GRUWeights,
    *,
    clip: float,
    reverse: bool = False,
    products: Products = "ieee",
) -> Float[Tensor, "*B T H"]:
    """Run a GRU over time; ``products`` is the arithmetic of the loop's products, whose sums and states keep the type of the data."""
    members, trials = (1, *h0.shape[:-1])[-2:]
    products = "ieee" if h0.dtype == torch.float64 else products
    hidden, card = h0.shape[-1], card_of(h0.device)
    tiles = choose_tiles(products=products, widest_layer=hidden, blocks=blocks(hidden), members=members, trials=trials, card=card)
    call = GRUCall(hidden=hidden, clip=clip, reverse=reverse, products=products, tiles=tiles, learn=torch.is_grad_enabled())
    if not trials or not x.shape[-2] or not LAUNCHES.ready(call, h0.device, h0.dtype, functools.partial(call.attempt, weights.recurrent)):
        return fused_gru.gru(x, h0, weights, clip=clip, reverse=reverse)
    drive = affine(x.transpose(-2, -3), weights.input, weights.bias)
    with in_full(h0):
        states: Tensor = GRUSequence.apply(drive, h0, weights.recurrent, call)  # type: ignore[no-untyped-call]
    return states.transpose(-2, -3)


def affine(x: Float[Tensor, "*M T B I"], weight: Float[Tensor, "*M O _"], bias: Float[Tensor, "*M O"]) -> Float[Tensor, "*M T B O"]:
    """``x W' + b`` in the type of ``x``, contiguous; without inputs the weight is not asked."""
    if not x.shape[-1]:
        return bias.unsqueeze(-2).unsqueeze(-2).expand(*x.shape[:-1], -1).contiguous()
    if weight.dim() == 2:
        found: Tensor = reference.affine(x, weight, bias)
        return found
    members: Tensor = torch.baddbmm(bias.unsqueeze(-2), x.flatten(1, 2), weight.mT).to(x.dtype).unflatten(1, x.shape[1:3])
    return members


gru_tf32 = functools.partial(gru, products="tf32")
gru_bf16 = functools.partial(gru, products="bf16")


@dataclass(frozen=True, kw_only=True)
class GRUCall:
    """What a launch is compiled for."""

    hidden: int
    clip: float
    reverse: bool
    products: Products
    tiles: Tiles
    learn: bool

    def constants(self, stride: int, held: int, *more: int) -> tuple[Any, ...]:
        """The kernels' last arguments: how far apart members' weights are, and which are held; ``more`` follows the tile over units."""
        tiles, units = self.tiles, self.tiles.units(self.hidden)
        return stride, held, self.clip, int(self.reverse), self.hidden, tiles.rows, units, *more, tiles.warps, tiles.depth, self.products

    def attempt(self, recurrent: Float[Tensor, "*M H3 H"]) -> None:
        """Compile and launch on one trial of no bins."""
        members, hidden = recurrent.shape[:-2], self.hidden
        drive, h0 = recurrent.new_empty(*members, 0, 1, 3 * hidden), recurrent.new_zeros(*members, 1, hidden)
        packed = PACKER([recurrent], layout, self.products)
        states, gates, n, _ = run_forward(self, drive, h0, packed)
        if self.learn:
            run_backward(self, n, packed, states, gates, n)


def layout(recurrent: Tensor) -> tuple[Tensor, ...]:
    """Blocks of weights: gates and candidate forwards, then both backwards."""
    z_r, n = recurrent.unflatten(0, (3, -1)).split([2, 1])
    return z_r, n, z_r.flatten(0, 1).mT.unsqueeze(0), n.mT


def blocks(hidden: int) -> tuple[Blocks, Blocks]:
    """Place, terms and columns of each block, forwards and backwards."""
    return ((0, hidden, 2 * hidden), (1, hidden, hidden)), ((0, 2 * hidden, hidden), (1, hidden, hidden))


def run_forward(call: GRUCall, drive: Tensor, h0: Tensor, packed: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """States of all bins and the one before them, gates, candidates, and reset states."""
    from lfads_core.recurrence.triton_gru_kernels import gru_forward

    hidden, tiles, (*first, bins, trials, _) = call.hidden, call.tiles, drive.shape
    states = drive.new_empty(*first, bins + 1, trials, hidden)
    gates = drive.new_empty(*first, bins, trials, 2 * hidden)
    n, reset = (drive.new_empty(*first, bins, trials, hidden) for _ in range(2))
    h0 = h0 if h0.stride(-1) == 1 else h0.contiguous()
    with on_device_of(drive):
        gru_forward[tiles.grid(math.prod(first), trials)](
            drive.contiguous(), h0, states, gates, n, reset, *packed[:2], bins, trials, *strides(h0),
            *call.constants(packed[0].stride(0), tiles.held[0], tiles.units(2 * hidden)), **tiles.options(),
        )  # fmt: skip
    return states, gates, n, reset


def run_backward(call: GRUCall, grad: Tensor, packed: tuple[Tensor, ...], states: Tensor, gates: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the drive and of the first state."""
    from lfads_core.recurrence.triton_gru_kernels import gru_backward

    hidden, tiles, (*first, bins, trials, _) = call.hidden, call.tiles, n.shape
    to_gates = n.new_empty(*first, bins + 1, trials, 3 * hidden)
    kept, carry, grad_h0 = (n.new_empty(*first, trials, hidden) for _ in range(3))
    with on_device_of(n):
        gru_backward[tiles.grid(math.prod(first), trials)](
            grad.contiguous(), states, gates, n, to_gates, kept, carry, grad_h0, *packed[2:], bins, trials,
            *call.constants(packed[0].stride(0), tiles.held[1]), **tiles.options(),
        )  # fmt: skip
    return after(to_gates) if call.reverse else before(to_gates), grad_h0


def strides(start: Float[Tensor, "*M B H"]) -> tuple[int, int]:
    """How far apart members and trials are: a start that is the same for all trials need not be written out for each."""
    return start.stride(0) if start.dim() == 3 else 0, start.stride(-2)


def before(rows: Float[Tensor, "*M T1 B K"]) -> Float[Tensor, "*M T B K"]:
    """All bins but the last."""
    return rows[..., :-1, :, :]


def after(rows: Float[Tensor, "*M T1 B K"]) -> Float[Tensor, "*M T B K"]:
    """All bins but the first."""
    return rows[..., 1:, :, :]


def weight_gradient(grad: Float[Tensor, "*M T B O"], seen: Float[Tensor, "*M T B I"]) -> Float[Tensor, "*M O I"]:
    """``Σ_t grad_t' seen_t`` as one product over all bins and trials."""
    return grad.flatten(-3, -2).mT @ seen.flatten(-3, -2)


class GRUSequence(torch.autograd.Function):
    """drive (*M, T, B, 3H), h0 (*M, B, H), recurrent (*M, 3H, H) -> states (*M, T, B, H)."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, h0: Tensor, recurrent: Tensor, call: GRUCall) -> Tensor:
        """One launch."""
        packed = PACKER([recurrent], layout, call.products)
        states, gates, n, reset = run_forward(call, drive, h0, packed)
        ctx.save_for_backward(states, gates, n, reset, *packed)
        ctx.call = call
        return before(states) if call.reverse else after(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """One launch, then two products."""
        states, gates, n, reset, *packed = ctx.saved_tensors
        to_gates, grad_h0 = run_backward(ctx.call, grads[0], tuple(packed), states, gates, n)
        grad_recurrent = None
        if ctx.needs_input_grad[2]:
            earlier, hidden = after(states) if ctx.call.reverse else before(states), ctx.call.hidden
            of_gates = weight_gradient(to_gates[..., : 2 * hidden], earlier)
            grad_recurrent = torch.cat([of_gates, weight_gradient(to_gates[..., 2 * hidden :], reset)], dim=-2)
        return to_gates, grad_h0, grad_recurrent, None
