"""The loops in plain PyTorch, differentiated by autograd: the oracle for every faster backend.

Every tensor may carry a leading population axis M; a step is then one batched product over all members.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.weights import DecoderDrive, DecoderPath, DecoderStart, DecoderWeights, GRUWeights


def affine(x: Float[Tensor, "*B I"], weight: Float[Tensor, "*M O I"], bias: Float[Tensor, "*M O"] | None = None) -> Float[Tensor, "*B O"]:
    """``x W' + b`` over the last axis, in the type of ``x``; a population's weights (M, O, I) meet the first axis of ``x``."""
    if weight.dim() == 2:
        return nn.functional.linear(x, weight, bias).to(x.dtype)
    rows = x.flatten(1, -2)  # one product a member: broadcasting would copy the weights for every trial
    product = rows @ weight.mT if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
    return product.to(x.dtype).view(*x.shape[:-1], -1)


def gru_step(drive: Float[Tensor, "*B H3"], h: Float[Tensor, "*B H"], recurrent: Float[Tensor, "*M H3 H"], clip: float) -> Float[Tensor, "*B H"]:
    """One step of the LFADS GRU, whose reset gate acts before the recurrent product (arXiv:1406.1078v3).

        z = σ(d_z + U_z h),  r = σ(d_r + U_r h),  n = tanh(d_n + U_n (r ⊙ h)),  h' = clip(z ⊙ h + (1 - z) ⊙ n)

    ``drive`` holds the input's share ``d = W x + b``. This is not cuDNN's GRU, which resets after the product.
    """
    hidden = h.shape[-1]
    gates = torch.sigmoid(drive[..., : 2 * hidden] + h @ recurrent[..., : 2 * hidden, :].mT)
    z, r = gates[..., :hidden], gates[..., hidden:]
    n = torch.tanh(drive[..., 2 * hidden :] + (r * h) @ recurrent[..., 2 * hidden :, :].mT)
    return (z * h + (1 - z) * n).clamp(-clip, clip)


def gru(x: Float[Tensor, "*B T I"], h0: Float[Tensor, "*B H"], weights: GRUWeights, *, clip: float, reverse: bool = False) -> Float[Tensor, "*B T H"]:
    """Run a GRU over time, or from the last bin to the first; states come back in the order of the input."""
    drive = affine(x, weights.input, weights.bias).unbind(-2)  # once: the gradient of a slice per bin would cost T times as much
    states, h = [], h0
    with in_full(h0):
        for here in reversed(drive) if reverse else drive:
            h = gru_step(here, h, weights.recurrent, clip)
            states.append(h)
    return torch.stack(states[::-1] if reverse else states, dim=-2)


def controlled(start: DecoderStart, drive: DecoderDrive, weights: DecoderWeights, *, clip: float) -> DecoderPath:
    """Run controller and generator in closed loop: the factors of one bin feed the controller in the next.

    ::

        c_t = GRU(c_{t-1}; [ci_t, f_{t-1}]),  (μ_t, ln σ_t²) = L c_t,  u_t = μ_t + σ_t ε_t,
        g_t = GRU(g_{t-1}; [u_t, x_t]),  f_t = W g_t
    """
    width, inputs = drive.ci.shape[-1], weights.posterior.shape[-2] // 2
    con, gen = weights.controller, weights.generator
    ci = drive.ci if drive.con_mask is None else drive.ci * drive.con_mask[..., :width]
    con_drive = affine(ci, con.input[..., :width], con.bias).unbind(-2)
    gen_drive = affine(drive.external, gen.input[..., inputs:], gen.bias).unbind(-2)
    noise = None if drive.noise is None else drive.noise.unbind(-2)
    c, g, f = start.controller, start.generator, start.factors
    seen: list[tuple[Tensor, ...]] = []
    with in_full(g):
        for t in range(drive.ci.shape[-2]):
            feedback = f if drive.con_mask is None else f * drive.con_mask[..., t, width:]
            c = gru_step(con_drive[t] + feedback @ con.input[..., width:].mT, c, con.recurrent, clip)
            mean, log_var = affine(c, weights.posterior, weights.posterior_bias).chunk(2, dim=-1)
            std = torch.exp(log_var / 2)
            u = mean if noise is None else mean + std * noise[t]
            g = gru_step(gen_drive[t] + u @ gen.input[..., :inputs].mT, g, gen.recurrent, clip)
            f = (g if drive.state_mask is None else g * drive.state_mask[..., t, :]) @ weights.factors.mT
            seen.append((g, f, c, mean, std, u))
    states, factors, con_states, means, stds, drawn = (torch.stack(column, dim=-2) for column in zip(*seen, strict=True))
    return DecoderPath(states=states, factors=factors, con_states=con_states, input_mean=means, input_std=stds, inputs=drawn)
