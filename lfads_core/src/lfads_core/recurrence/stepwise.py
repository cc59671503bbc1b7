"""The closed loop around a generator of whatever kind, whose controller may hear rates instead of factors; plain PyTorch, bin by bin."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.recurrence.precision import in_full
from lfads_core.recurrence.reference import affine, gru_step
from lfads_core.recurrence.weights import ControlWeights, DecoderDrive, DecoderPath, DecoderStart


def controlled_stepwise(
    start: DecoderStart,
    drive: DecoderDrive,
    weights: ControlWeights,
    *,
    step: Callable[[Float[Tensor, "*B G"], Float[Tensor, "*B UE"]], Float[Tensor, "*B G"]],
    clip: float,
    rates: Callable[[Float[Tensor, "B F"]], Float[Tensor, "B N"]] | None = None,
) -> DecoderPath:
    """Run controller and generator as :func:`~lfads_core.recurrence.reference.controlled` does, with ``step`` in the place of the generator's GRU.

    ::

        c_t = GRU(c_{t-1}; [ci_t, f_{t-1}]),  (μ_t, ln σ_t²) = L c_t,  u_t = μ_t + σ_t ε_t,
        g_t = clip(step(g_{t-1}, [u_t, x_t])),  f_t = W g_t

    With ``rates`` the controller hears ``rates(f_{t-1})``; ``drive.con_mask`` is then as wide as ``[ci, rates]``.
    """
    con, width = weights.controller, drive.ci.shape[-1]
    ci = drive.ci if drive.con_mask is None else drive.ci * drive.con_mask[..., :width]
    # Once, and cut into bins at once: the gradient of a slice per bin would cost T times as much.
    con_drive = affine(ci, con.input[..., :width], con.bias).unbind(-2)
    external = drive.external.unbind(-2) if drive.external.shape[-1] else None
    of_feedback = con.input[..., width:]
    c, g, f = start.controller, start.generator, start.factors
    seen: list[tuple[Tensor, ...]] = []
    with in_full(g):
        for t, here in enumerate(con_drive):
            heard = f if rates is None else rates(f)
            if drive.con_mask is not None:
                heard = heard * drive.con_mask[..., t, width:]
            c = gru_step(here + affine(heard, of_feedback), c, con.recurrent, clip)
            mean, log_var = affine(c, weights.posterior, weights.posterior_bias).chunk(2, dim=-1)
            std = torch.exp(log_var / 2)
            u = mean if drive.noise is None else mean + std * drive.noise[..., t, :]
            g = step(g, u if external is None else torch.cat([u, external[t]], dim=-1)).clamp(-clip, clip)
            f = affine(g if drive.state_mask is None else g * drive.state_mask[..., t, :], weights.factors)
            seen.append((g, f, c, mean, std, u))
    states, factors, con_states, means, stds, drawn = (torch.stack(column, dim=-2) for column in zip(*seen, strict=True))
    return DecoderPath(states=states, factors=factors, con_states=con_states, input_mean=means, input_std=stds, inputs=drawn)
