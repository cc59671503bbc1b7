"""A batch of trials of one session, and everything that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Trials of one session on their way through augmentations, model and loss. Never changed in place."""

    encod: Float[Tensor, "*M B Te Ne"]  # what the encoders read
    recon: Float[Tensor, "*M B T N"]  # what is reconstructed; NaN means not observed
    external: Float[Tensor, "*M B Tx E"]  # inputs that are given, Tx bins of them; E may be 0
    trials: Int[Tensor, "*M B"]  # row of each trial in its split
    nested: bool = True  # encod is recon[:, :Te, :Ne]; False: another modality is reconstructed, and input masks do not concern the loss
    ic_bins: int = 0  # first bins that only the initial condition is inferred from; augmentations leave them alone
    masks: Mapping[str, Tensor] = field(default_factory=dict)  # what augmentations leave for the loss
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # other per-trial arrays of the file
    weights: Float[Tensor, "*M B"] | None = None  # 1 for trials that count, 0 for those that only fill the batch up; None: all count


def mean_over_trials(values: Float[Tensor, "B ..."], weights: Float[Tensor, " B"] | None) -> Float[Tensor, ""]:
    """Mean of all values of the trials that count. The others get no gradient, whatever their values are."""
    if weights is None:
        return values.mean()
    each = values.flatten(1).mean(dim=1) if values.dim() > 1 else values
    return torch.where(weights > 0, each, 0.0).sum() / weights.sum()
