"""Every random number one pass through the model uses, drawn beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from lfads_core.components.prior import Draw


@dataclass(frozen=True, kw_only=True, eq=False)
class DropoutMasks:
    """What values at the published sites are multiplied by: 0 where they are dropped, ``1 / (1 - rate)`` where they are kept."""

    data: Float[Tensor, "*B Te D"]
    ic_final: Float[Tensor, "*B C2"]
    gen_init: Float[Tensor, "*B G"]
    gen_state: Float[Tensor, "*B T G"]
    external: Float[Tensor, "*B T E"] | None = None
    con_input: Float[Tensor, "*B T C2F"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """What makes a pass random; every None makes it deterministic (posterior means, no dropout)."""

    ic: Draw | None = None  # behind the decoded initial condition, (B, I)
    inputs: Draw | None = None  # behind the decoded inferred inputs, (B, T, U)
    ic_kl: Draw | None = None  # the separate sample of a Monte-Carlo KL
    inputs_kl: Draw | None = None
    dropout: DropoutMasks | None = None
    latents: Mapping[str, Draw] | None = None  # behind the decoded latents of plugins, by name; None decodes their means
    latents_kl: Mapping[str, Draw] = field(default_factory=dict)
    losses: Mapping[str, Mapping[str, Draw]] = field(default_factory=dict)  # of the losses, by session and loss


@dataclass(frozen=True, kw_only=True, eq=False)
class StandardNoise:
    """The part of the noise that encoders and decoder use, after the priors have made it standard noise of their posteriors."""

    ic: Float[Tensor, "*B I"] | None = None  # None decodes the posterior mean
    inputs: Float[Tensor, "*B T U"] | None = None  # the same
    latents: Mapping[str, Float[Tensor, "..."]] | None = None  # the same
    dropout: DropoutMasks | None = None
