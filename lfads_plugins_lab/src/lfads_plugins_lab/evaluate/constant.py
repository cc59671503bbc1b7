"""The best that a distribution can say of a recording without any dynamics: the same parameters in every bin of a channel."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Real

from lfads_core.components import AbstractReconstruction

MOST_ROWS = 4000
"""Bins that the constants are fitted to, evenly spaced."""

_STEPS = 200


def constant_parameters(reconstruction: AbstractReconstruction, data: Real[np.ndarray, "B T N"]) -> torch.Tensor:
    """Parameters (N, P) of least mean cost of training data (NaN: not observed), by L-BFGS; what the reconstruction has learnt stays as it is."""
    rows = data.reshape(-1, data.shape[-1])
    rows = rows[:: max(1, -(-len(rows) // MOST_ROWS))]
    device = next((p.device for p in reconstruction.parameters()), torch.device("cpu"))
    values = torch.as_tensor(np.ascontiguousarray(rows), dtype=torch.float64, device=device)[None]
    seen = ~values.isnan()
    values = torch.where(seen, values, 1.0)
    params = torch.zeros(values.shape[-1], reconstruction.n_params, dtype=torch.float64, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS([params], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def cost() -> Float[torch.Tensor, ""]:
        optimizer.zero_grad()
        loss = reconstruction.nll(params.expand(*values.shape, -1), values)
        total = torch.where(seen, loss, 0.0).sum(dim=(0, 1)) / seen.sum(dim=(0, 1)).clamp(min=1)
        total.sum().backward()
        return total.sum().detach()

    with torch.enable_grad():
        optimizer.step(cost)
    return params.detach().float()
