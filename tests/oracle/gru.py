"""The LFADS recurrent unit and the bidirectional encoder built from it."""

from collections.abc import Mapping

import numpy as np

from oracle.arrays import Array, clip, linear, sigmoid, stack_bins

Weights = Mapping[str, Array]


def gru_step(x: Array, h: Array, weights: Weights, cell: str, limit: float) -> Array:
    """One step: x (..., B, I), h (..., B, H) to the next h. Rows of the stacked matrices are z, r, n.

    The reset gate acts on h before the recurrent product; ``bias_hh`` is ignored (zero and frozen).
    """
    hidden = h.shape[-1]
    w_z, w_r, w_n = (weights[f"{cell}.weight_ih"][..., i * hidden : (i + 1) * hidden, :] for i in range(3))
    u_z, u_r, u_n = (weights[f"{cell}.weight_hh"][..., i * hidden : (i + 1) * hidden, :] for i in range(3))
    b_z, b_r, b_n = (weights[f"{cell}.bias_ih"][..., i * hidden : (i + 1) * hidden] for i in range(3))
    z = sigmoid(linear(x, w_z, b_z) + linear(h, u_z))
    r = sigmoid(linear(x, w_r, b_r) + linear(h, u_r))
    n = np.tanh(linear(x, w_n, b_n) + linear(r * h, u_n))
    return clip(z * h + (1 - z) * n, limit)


def bidirectional(x: Array, weights: Weights, name: str, limit: float) -> tuple[Array, Array]:
    """Run ``encoder.<name>`` over x (..., B, T, I).

    Returns the forward states and the backward states, both (..., B, T, H) and both in input order.
    """
    trials, bins = x.shape[-3:-1]
    h0 = weights[f"encoder.{name}_h0"]
    states: dict[str, list[Array]] = {}
    for direction, which, order in (("fwd", 0, range(bins)), ("bwd", 1, range(bins - 1, -1, -1))):
        h = np.repeat(h0[..., which, :, :], trials, axis=-2)
        at_bin: dict[int, Array] = {}
        for t in order:
            h = gru_step(x[..., t, :], h, weights, f"encoder.{name}.{direction}_gru.cell", limit)
            at_bin[t] = h
        states[direction] = [at_bin[t] for t in range(bins)]
    return stack_bins(states["fwd"]), stack_bins(states["bwd"])
