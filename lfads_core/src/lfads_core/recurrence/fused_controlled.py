"""Controller and generator in closed loop with a hand-written backward; see :mod:`lfads_core.recurrence.fused_gru`.

Everything a gate's product reads stands side by side in one buffer per cell, [state | input | reset state], so that each
cell takes two products a step: update and reset gates read [state | input], the candidate reads [input | reset state].
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.recurrence.fused_gru import GRUCoefficients, add_product, clip_masks, time_first_affine, weight_gradient
from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights


def controlled(start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights, *, clip: float) -> DecoderPath:
    """Run controller and generator in closed loop; see the reference for the mathematics."""
    given = hoisted(start, drive, weights)
    with in_full(start.generator):
        out = ClosedLoop.apply(clip, *given)  # type: ignore[no-untyped-call]
    states, factors, con_states, means, stds, drawn = (value.movedim(0, -2) for value in out)
    return DecoderPath(states=states, factors=factors, con_states=con_states, input_mean=means, input_std=stds, inputs=drawn)


def parts_of_inputs(drive: DecoderDrive, weights: DecoderWeights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Input weights of the controller for what comes from outside and for factors; of the generator for inferred inputs and from outside."""
    width, inputs, con, gen = drive.ci.shape[-1], weights.posterior.shape[-2] // 2, weights.controller.input, weights.generator.input
    given = drive.external.shape[-1]
    return *con.split([width, con.shape[-1] - width], dim=-1), *(gen.split([inputs, given], dim=-1) if given else (gen, gen))


def hoisted(start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights) -> tuple[Tensor | None, ...]:
    """The tensors of :meth:`ClosedLoop.forward`: time first, and products with what comes from outside done for all bins.

    The log-variance is halved in the weights, so that a standard deviation is one exp.
    """
    width, inputs = drive.ci.shape[-1], weights.posterior.shape[-2] // 2
    con, gen = weights.controller, weights.generator
    ci = drive.ci if drive.con_mask is None else drive.ci * drive.con_mask[..., :width]
    halves = torch.ones_like(weights.posterior_bias)
    halves[..., inputs:] = 0.5
    con_outside, con_feed, gen_feed, gen_outside = parts_of_inputs(drive, weights)
    return (
        None if drive.con_mask is None else drive.con_mask[..., width:].movedim(-2, 0).contiguous(),
        None if drive.state_mask is None else drive.state_mask.movedim(-2, 0).contiguous(),
        None if drive.noise is None else drive.noise.movedim(-2, 0),
        time_first_affine(ci, con_outside, con.bias),
        time_first_affine(drive.external, gen_outside, gen.bias),
        start.controller,
        start.generator,
        start.factors,
        con_feed,
        con.recurrent,
        weights.posterior * halves.unsqueeze(-1),
        weights.posterior_bias * halves,
        gen_feed,
        gen.recurrent,
        weights.factors,
    )


class Cell:
    """One GRU's buffers over all bins: ``row`` is [state | input | reset state], and the next state follows in the next row."""

    def __init__(
        self, drive: Float[Tensor, "T *B H3"], h0: Float[Tensor, "*B H"], feed: Float[Tensor, "*M H3 I"], recurrent: Float[Tensor, "*M H3 H"]
    ) -> None:
        bins, hidden, inputs = drive.shape[0], h0.shape[-1], feed.shape[-1]
        self.hidden, self.inputs = hidden, inputs
        self.rows = drive.new_empty(bins + 1, *h0.shape[:-1], hidden + inputs + hidden)
        self.rows[0, ..., :hidden] = h0
        self.gates = drive.new_empty(*drive.shape[:-1], 2 * hidden)
        self.n = drive.new_empty(*drive.shape[:-1], hidden)
        self.w_gates = torch.cat([recurrent[..., : 2 * hidden, :], feed[..., : 2 * hidden, :]], dim=-1)
        self.w_n = torch.cat([feed[..., 2 * hidden :, :], recurrent[..., 2 * hidden :, :]], dim=-1)
        self.drive_gates, self.drive_n = drive[..., : 2 * hidden].unbind(0), drive[..., 2 * hidden :].unbind(0)
        self.state, self.input, self.reset = (part.unbind(0) for part in self.rows.split([hidden, inputs, hidden], dim=-1))
        self.read_gates, self.read_n = self.rows[..., : hidden + inputs].unbind(0), self.rows[..., hidden:].unbind(0)
        self.gates_of, self.n_of = self.gates.unbind(0), self.n.unbind(0)
        self.z_of, self.r_of = self.gates[..., :hidden].unbind(0), self.gates[..., hidden:].unbind(0)

    def step(self, t: int, add: Any, to_gates: Tensor, to_n: Tensor, clip: float) -> None:
        """From the state and input of bin t to the state in row t + 1."""
        add(self.drive_gates[t], self.read_gates[t], to_gates, out=self.gates_of[t]).sigmoid_()
        torch.mul(self.r_of[t], self.state[t], out=self.reset[t])
        add(self.drive_n[t], self.read_n[t], to_n, out=self.n_of[t]).tanh_()
        torch.lerp(self.n_of[t], self.state[t], self.z_of[t], out=self.state[t + 1]).clamp_(-clip, clip)

    def states(self) -> Float[Tensor, "T *B H"]:
        """States after each bin."""
        return self.rows[1:, ..., : self.hidden]


class CellBackward:
    """The same cell's backward: gate gradients into buffers, state and input gradients returned step by step."""

    def __init__(self, rows: Tensor, gates: Tensor, n: Tensor, w_gates: Tensor, w_n: Tensor, *, clip: float) -> None:
        self.hidden = hidden = n.shape[-1]
        self.inputs = rows.shape[-1] - 2 * hidden
        self.rows, self.w_gates, self.w_n = rows, w_gates, w_n
        self.by = GRUCoefficients(gates, n, rows[:-1, ..., :hidden])
        self.free = clip_masks(rows[1:, ..., :hidden], clip)
        self.grad_drive = torch.empty(*n.shape[:-1], 3 * hidden, dtype=n.dtype, device=n.device)
        self.to_z, self.to_r = self.grad_drive[..., :hidden].unbind(0), self.grad_drive[..., hidden : 2 * hidden].unbind(0)
        self.to_gates, self.to_n = self.grad_drive[..., : 2 * hidden].unbind(0), self.grad_drive[..., 2 * hidden :].unbind(0)

    def step(self, t: int, g: Tensor) -> tuple[Tensor, Tensor]:
        """From the gradient of the state after bin t to those of the state before it and of the input. ``g`` is consumed."""
        by, hidden, inputs = self.by, self.hidden, self.inputs
        if self.free is not None:
            g *= self.free[t]
        torch.mul(g, by.to_n[t], out=self.to_n[t])
        torch.mul(g, by.to_z[t], out=self.to_z[t])
        through_n = self.to_n[t] @ self.w_n  # [input | reset state]
        g_reset = through_n[..., inputs:]
        torch.mul(g_reset, by.to_r[t], out=self.to_r[t])
        through_gates = self.to_gates[t] @ self.w_gates  # [state | input]
        g.mul_(by.z[t]).addcmul_(g_reset, by.r[t]).add_(through_gates[..., :hidden])
        return g, through_n[..., :inputs].add_(through_gates[..., hidden:])

    def weight_gradients(self) -> tuple[Tensor, Tensor]:
        """Gradients of the input's columns ``feed`` and of the recurrent matrix."""
        hidden, inputs = self.hidden, self.inputs
        of_gates = weight_gradient(self.grad_drive[..., : 2 * hidden], self.rows[:-1, ..., : hidden + inputs])
        of_n = weight_gradient(self.grad_drive[..., 2 * hidden :], self.rows[:-1, ..., hidden:])
        feed = torch.cat([of_gates[..., hidden:], of_n[..., :inputs]], dim=-2)
        return feed, torch.cat([of_gates[..., :hidden], of_n[..., inputs:]], dim=-2)


class ClosedLoop(torch.autograd.Function):
    """Plain tensors in, six paths (T first) out; every argument but the clip and the masks can be differentiated."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - autograd sees tensors only as arguments of their own
        ctx: Any,
        clip: float,
        feedback_mask: Tensor | None,
        state_mask: Tensor | None,
        noise: Tensor | None,
        con_drive: Tensor,
        gen_drive: Tensor,
        c0: Tensor,
        g0: Tensor,
        f0: Tensor,
        con_feed: Tensor,
        con_recurrent: Tensor,
        posterior: Tensor,
        posterior_bias: Tensor,
        gen_feed: Tensor,
        gen_recurrent: Tensor,
        factors: Tensor,
    ) -> tuple[Tensor, ...]:
        """About twenty operations a step."""
        bins, inputs = con_drive.shape[0], gen_feed.shape[-1]
        add = add_product(con_recurrent)
        con, gen = Cell(con_drive, c0, con_feed, con_recurrent), Cell(gen_drive, g0, gen_feed, gen_recurrent)
        weights = con.w_gates.mT, con.w_n.mT, gen.w_gates.mT, gen.w_n.mT
        moments = con_drive.new_empty(*con_drive.shape[:-1], 2 * inputs)  # [mean | std]
        path = con_drive.new_empty(*con_drive.shape[:-1], factors.shape[-2])
        masked = None if state_mask is None else torch.empty_like(state_mask)
        moment_of, f_of = moments.unbind(0), path.unbind(0)
        mean_of, std_of = moments[..., :inputs].unbind(0), moments[..., inputs:].unbind(0)
        to_posterior, to_factors, bias = posterior.mT, factors.mT, posterior_bias.unsqueeze(-2)
        f = f0
        for t in range(bins):
            if feedback_mask is None:
                con.input[t].copy_(f)
            else:
                torch.mul(f, feedback_mask[t], out=con.input[t])
            con.step(t, add, weights[0], weights[1], clip)
            add(bias, con.state[t + 1], to_posterior, out=moment_of[t])
            std_of[t].exp_()
            if noise is None:
                gen.input[t].copy_(mean_of[t])
            else:
                torch.addcmul(mean_of[t], std_of[t], noise[t], out=gen.input[t])
            gen.step(t, add, weights[2], weights[3], clip)
            g = gen.state[t + 1]
            if state_mask is not None and masked is not None:
                g = torch.mul(g, state_mask[t], out=masked[t])
            f = torch.matmul(g, to_factors, out=f_of[t])
        ctx.save_for_backward(
            noise, feedback_mask, state_mask, masked, moments, posterior, factors, con.rows, con.gates, con.n, con.w_gates, con.w_n,
            gen.rows, gen.gates, gen.n, gen.w_gates, gen.w_n,
        )  # fmt: skip
        ctx.clip = clip
        ctx.set_materialize_grads(False)
        drawn = gen.rows[:-1, ..., gen.hidden : gen.hidden + inputs]
        means, stds = moments.split(inputs, dim=-1)
        return gen.states().clone(), path, con.states().clone(), means.clone(), stds.clone(), drawn.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """About thirty operations a step; weight gradients are products over all bins afterwards."""
        d_states, d_factors, d_con, d_mean, d_std, d_inputs = grads
        noise, feedback_mask, state_mask, masked, moments, posterior, factors, *cells = ctx.saved_tensors
        con, gen = CellBackward(*cells[:5], clip=ctx.clip), CellBackward(*cells[5:], clip=ctx.clip)
        add = add_product(factors)
        bins, inputs, std = moments.shape[0], gen.inputs, moments[..., gen.inputs :]
        spread = None if noise is None else noise * std
        d_log_std = torch.zeros_like(std) if d_std is None else d_std * std
        d_moments = torch.empty_like(moments)
        to_mean, to_log_std = d_moments[..., :inputs].unbind(0), d_moments[..., inputs:].unbind(0)
        d_path = moments.new_zeros(*moments.shape[:-1], factors.shape[-2]) if d_factors is None else d_factors.clone()
        d_noise = None if noise is None or not ctx.needs_input_grad[3] else torch.empty_like(noise)
        g = torch.zeros_like(gen.rows[0, ..., : gen.hidden])
        c = torch.zeros_like(con.rows[0, ..., : con.hidden])
        feedback: Tensor | None = None
        for t in reversed(range(bins)):
            if feedback is not None:
                d_path[t] += feedback
            if d_states is not None:
                g += d_states[t]
            through = d_path[t] @ factors
            g = g.add_(through) if state_mask is None else g.addcmul_(through, state_mask[t])
            g, u = gen.step(t, g)
            if d_inputs is not None:
                u = u + d_inputs[t]
            if d_noise is not None:
                torch.mul(u, std[t], out=d_noise[t])
            if d_mean is None:
                to_mean[t].copy_(u)
            else:
                torch.add(u, d_mean[t], out=to_mean[t])
            if spread is None:
                to_log_std[t].copy_(d_log_std[t])
            else:
                torch.addcmul(d_log_std[t], u, spread[t], out=to_log_std[t])
            c = add(c, d_moments[t], posterior)
            if d_con is not None:
                c += d_con[t]
            c, feedback = con.step(t, c)
            if feedback_mask is not None:
                feedback = feedback * feedback_mask[t]
        read = gen.rows[1:, ..., : gen.hidden] if masked is None else masked
        con_feed, con_recurrent = con.weight_gradients()
        gen_feed, gen_recurrent = gen.weight_gradients()
        over = (0, d_moments.dim() - 2)
        return (
            None, None, None, d_noise, con.grad_drive, gen.grad_drive, c, g, feedback, con_feed, con_recurrent,
            weight_gradient(d_moments, con.rows[1:, ..., : con.hidden]), d_moments.sum(dim=over), gen_feed, gen_recurrent,
            weight_gradient(d_path, read),
        )  # fmt: skip
