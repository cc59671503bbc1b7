"""GRU over time with a hand-written backward: few, large operations a step, nothing of autograd inside the loop.

Same signature and numbers as :func:`lfads_core.recurrence.reference.gru`. Time is the first axis of every buffer, so that
each step works in place on contiguous memory; weight gradients are single products after the loop. With weights
stacked over a population (M, 3H, ·) each step is one batched product over all members.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.reference import affine
from lfads_core.recurrence.weights import GRUWeights


def gru(x: Float[Tensor, "*B T I"], h0: Float[Tensor, "*B H"], weights: GRUWeights, *, clip: float, reverse: bool = False) -> Float[Tensor, "*B T H"]:
    """Run a GRU over time; see the reference for the mathematics."""
    x = x.flip(-2) if reverse else x
    drive = time_first_affine(x, weights.input, weights.bias)
    with in_full(h0):
        states: Tensor = GRULoop.apply(drive, h0, weights.recurrent, clip)  # type: ignore[no-untyped-call]
    states = states.movedim(0, -2)
    return states.flip(-2) if reverse else states


def time_first_affine(x: Float[Tensor, "*B T I"], weight: Float[Tensor, "*M O _"], bias: Float[Tensor, "*M O"]) -> Float[Tensor, "T *B O"]:
    """``x W' + b`` with time moved to the front, contiguous, in the type of ``x``; without inputs the weight is not asked."""
    moved = x.movedim(-2, 0)
    if not x.shape[-1]:
        return bias.unsqueeze(-2).expand(*moved.shape[:-1], -1).contiguous()
    if weight.dim() == 2:
        return affine(moved, weight, bias)
    return (moved @ weight.mT).to(x.dtype) + bias.unsqueeze(-2)


def add_product(weight: Tensor) -> Any:
    """``addmm`` for one model, ``baddbmm`` for a population."""
    return torch.addmm if weight.dim() == 2 else torch.baddbmm


def weight_gradient(grad: Float[Tensor, "T *B O"], seen: Float[Tensor, "T *B I"]) -> Float[Tensor, "*M O I"]:
    """``Σ_t grad_t' seen_t`` as one product over all bins and trials."""
    if grad.dim() == 3:
        return grad.flatten(0, 1).mT @ seen.flatten(0, 1)
    return grad.transpose(0, 1).flatten(1, 2).mT @ seen.transpose(0, 1).flatten(1, 2)


class GRUCoefficients:
    """The pointwise factors of the backward step, computed for all bins at once.

    With h' = n + z (h - n):  ∂n-gate = g (1-z)(1-n²),  ∂z-gate = g (h-n) z(1-z),  ∂r-gate = (∂n-gate U_n) h r(1-r).
    """

    def __init__(self, gates: Float[Tensor, "T *B H2"], n: Float[Tensor, "T *B H"], before: Float[Tensor, "T *B H"]) -> None:
        z, r = gates.chunk(2, dim=-1)
        open_z = 1 - z
        self.z, self.r = z.unbind(0), r.unbind(0)
        self.to_n = (open_z * (1 - n.square())).unbind(0)
        self.to_z = ((before - n) * z).mul_(open_z).unbind(0)
        self.to_r = (before * r).mul_(1 - r).unbind(0)


def clip_masks(after: Float[Tensor, "T *B H"], clip: float) -> tuple[Tensor, ...] | None:
    """Per bin, 0 where the state was clipped; None when it never was, which only a CPU is asked, for it waits for no answer."""
    free = after.abs() < clip
    return None if after.device.type == "cpu" and bool(free.all()) else free.to(after.dtype).unbind(0)


class GRULoop(torch.autograd.Function):
    """drive (T, *B, 3H), h0 (*B, H), recurrent (*M, 3H, H) -> states (T, *B, H)."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, h0: Tensor, recurrent: Tensor, clip: float) -> Tensor:
        """Seven operations a step, written into buffers for all bins."""
        bins, hidden = drive.shape[0], h0.shape[-1]
        add = add_product(recurrent)
        to_gates, to_n = recurrent[..., : 2 * hidden, :].mT, recurrent[..., 2 * hidden :, :].mT
        states = drive.new_empty(bins + 1, *h0.shape)
        states[0] = h0
        gates = drive.new_empty(*drive.shape[:-1], 2 * hidden)
        n, rh = torch.empty_like(states[1:]), torch.empty_like(states[1:])
        drive_gates, drive_n = drive[..., : 2 * hidden].unbind(0), drive[..., 2 * hidden :].unbind(0)
        z_of, r_of = gates[..., :hidden].unbind(0), gates[..., hidden:].unbind(0)
        h, gates_of, n_of, rh_of = states.unbind(0), gates.unbind(0), n.unbind(0), rh.unbind(0)
        for t in range(bins):
            add(drive_gates[t], h[t], to_gates, out=gates_of[t]).sigmoid_()
            torch.mul(r_of[t], h[t], out=rh_of[t])
            add(drive_n[t], rh_of[t], to_n, out=n_of[t]).tanh_()
            torch.lerp(n_of[t], h[t], z_of[t], out=h[t + 1]).clamp_(-clip, clip)
        ctx.save_for_backward(recurrent, states, gates, n, rh)
        ctx.clip = clip
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Eight operations a step; weight gradients afterwards."""
        recurrent, states, gates, n, rh = ctx.saved_tensors
        hidden = n.shape[-1]
        add = add_product(recurrent)
        from_gates, from_n = recurrent[..., : 2 * hidden, :], recurrent[..., 2 * hidden :, :]
        by = GRUCoefficients(gates, n, states[:-1])
        free = clip_masks(states[1:], ctx.clip)
        grad_drive = torch.empty(*n.shape[:-1], 3 * hidden, dtype=n.dtype, device=n.device)
        to_z, to_r = grad_drive[..., :hidden].unbind(0), grad_drive[..., hidden : 2 * hidden].unbind(0)
        to_gates, to_n = grad_drive[..., : 2 * hidden].unbind(0), grad_drive[..., 2 * hidden :].unbind(0)
        g, g_rh = torch.zeros_like(states[0]), torch.empty_like(states[0])
        for t in reversed(range(n.shape[0])):
            g += grads[0][t]
            if free is not None:
                g *= free[t]
            torch.mul(g, by.to_n[t], out=to_n[t])
            torch.mul(g, by.to_z[t], out=to_z[t])
            torch.matmul(to_n[t], from_n, out=g_rh)
            torch.mul(g_rh, by.to_r[t], out=to_r[t])
            g.mul_(by.z[t]).addcmul_(g_rh, by.r[t])
            g = add(g, to_gates[t], from_gates)
        grad_recurrent = torch.cat(
            [weight_gradient(grad_drive[..., : 2 * hidden], states[:-1]), weight_gradient(grad_drive[..., 2 * hidden :], rh)], dim=-2
        )
        return grad_drive, g, grad_recurrent, None
