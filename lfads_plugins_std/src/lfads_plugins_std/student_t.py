"""Student-t prior and posterior: for dynamics with rare, large inputs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractPrior, Draw
from lfads_plugins_std.settings import StudentTConfig


def student_t_log_density(x: Tensor, location: Tensor, scale: Tensor, degrees: float) -> Tensor:
    """Log density per value, with normalising constant."""
    half = 0.5 * (degrees + 1)
    constant = math.lgamma(half) - math.lgamma(0.5 * degrees) - 0.5 * math.log(degrees * math.pi)
    return constant - torch.log(scale) - half * torch.log1p(((x - location) / scale).square() / degrees)


class StudentTPrior(AbstractPrior):
    """Independent Student-t on every dimension, location and scale trainable; posterior samples are Student-t too."""

    def __init__(self, config: StudentTConfig, dimensions: int) -> None:
        super().__init__()
        self.degrees = float(config.degrees)
        self.location = nn.Parameter(torch.full((dimensions,), config.location))
        self.log_scale = nn.Parameter(torch.full((dimensions,), math.log(config.scale)))

    def draw(self, like: Tensor, rng: torch.Generator) -> Draw:
        """Normals, and the chi-squares that make their tails heavy."""
        # A chi-square is twice a gamma; torch draws gammas without a generator argument only through this primitive.
        shape = torch.full(like.shape, self.degrees / 2, dtype=torch.float64, device=like.device)
        chi2 = 2 * torch._standard_gamma(shape, generator=rng).to(like.dtype)  # noqa: SLF001
        # With very few degrees of freedom a chi-square can round to 0 in float32.
        return {**super().draw(like, rng), "chi2": chi2.clamp(min=torch.finfo(like.dtype).tiny)}

    def standardise(self, draw: Draw) -> Tensor:
        """normal * sqrt(degrees / chi2)."""
        return draw["normal"] * torch.sqrt(self.degrees / draw["chi2"])

    def kl(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """ln q - ln p at one fresh sample; summed over dimensions, MEAN over bins if there are any."""
        x = self.sample(mean, std, draw)
        gap = student_t_log_density(x, mean, std, self.degrees) - student_t_log_density(x, self.location, torch.exp(self.log_scale), self.degrees)
        per_bin = gap.sum(dim=-1)
        return per_bin if per_bin.dim() == 1 else per_bin.mean(dim=-1)

    def generate(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """Independent draws."""
        return self.sample(self.location, torch.exp(self.log_scale), self.draw(like, rng))

    def scalars(self) -> dict[str, float]:
        """Mean scale."""
        return {"scale": float(self.log_scale.detach().exp().mean())}
