"""What one pass through the model returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from lfads_core.components.latents import Latents, Posterior

__all__ = ["Encoded", "Latents", "ModelOutput", "Posterior"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What the encoders read from a batch of trials; nothing in it depends on posterior samples."""

    ic: Posterior  # initial condition, (B, I)
    ci: Float[Tensor, "*B T C2"] | None  # what the controller reads from its encoder, after the lag
    further: Mapping[str, Posterior] = field(default_factory=dict)  # latents of plugins by name


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutput:
    """Latents of all trials, and each session's reconstruction parameters."""

    latents: Latents
    params: Mapping[str, Float[Tensor, "B T N P"]]  # by session name
    rows: Mapping[str, slice]  # each session's trials within the latents
