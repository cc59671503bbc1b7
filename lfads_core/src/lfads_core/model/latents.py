"""Latents of plugins in their places: posteriors from what was read in, samples on their way into the decoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractLatent, Draw, Posterior
from lfads_core.model.members import each_member


def posterior_of(part: AbstractLatent, x: Float[Tensor, "*B Te D"]) -> Posterior:
    """What is known about a latent from trials as they were read in."""
    found: Tensor = each_member(part, part.forward, {"x": x}) if x.dim() > 3 and not part.population else part(x)
    mean, log_var = found.to(x.dtype).chunk(2, dim=-1)
    return Posterior(mean=mean, std=torch.exp(log_var / 2))


def entered(
    latents: Mapping[str, AbstractLatent],
    values: Mapping[str, Tensor],
    ic: Float[Tensor, "*B I"],
    external: Float[Tensor, "*B T E"],
) -> tuple[Float[Tensor, "*B IK"], Float[Tensor, "*B T EK"]]:
    """Initial conditions and given inputs with the latents' values beside them."""
    for name, part in latents.items():
        value = values[name]
        if part.enters == "initial":
            ic = torch.cat([ic, value], dim=-1)
        else:
            bins = value if part.per == "bin" else value.unsqueeze(-2).expand(*external.shape[:-1], -1)
            external = torch.cat([external, bins], dim=-1)
    return ic, external


def widths(latents: Mapping[str, AbstractLatent]) -> tuple[int, int]:
    """What latents add to the initial condition and to the generator's inputs."""
    initial = sum(part.size for part in latents.values() if part.enters == "initial")
    return initial, sum(part.size for part in latents.values()) - initial


def drawn_like(part: AbstractLatent, trials: int, bins: int, like: Tensor) -> Tensor:
    """An empty tensor of the shape of a latent's values."""
    return like.new_empty(trials, *((bins,) if part.per == "bin" else ()), part.size)


def draws_of(latents: Mapping[str, AbstractLatent], trials: int, bins: int, like: Tensor, rng: torch.Generator) -> dict[str, Draw]:
    """Random numbers behind one sample of each."""
    return {name: part.prior.draw(drawn_like(part, trials, bins, like), rng) for name, part in latents.items()}
