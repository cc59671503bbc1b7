"""Student-t prior and posterior: for dynamics with rare, large inputs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractPrior, Draw
from lfads_plugins_std.settings import StudentTConfig


def student_t_log_density(x: Tensor, location: Tensor, scale: Tensor, degrees: Tensor) -> Tensor:
    """Log density per value, with normalising constant."""
    half = 0.5 * (degrees + 1)
    constant = torch.lgamma(half) - torch.lgamma(0.5 * degrees) - 0.5 * torch.log(degrees * math.pi)
    return constant - torch.log(scale) - half * torch.log1p(((x - location) / scale).square() / degrees)


def chi_square_slope(degrees: Float[Tensor, " K"], drawn: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
    """How a chi-square draw moves with its degrees of freedom k at a fixed quantile: dx/dk = -(dF/dk) / f.

    F and f are the distribution function and the density at x (implicit reparameterisation: Figurnov, Mohamed & Mnih 2018,
    arXiv:1805.08498). A chi-square is 2 y with y a gamma of shape k / 2, so that dx/dk = dy/d(k / 2).
    """
    shape = (0.5 * degrees.detach()).to(drawn).expand(drawn.shape)
    return torch._standard_gamma_grad(shape, 0.5 * drawn)  # noqa: SLF001 - what torch.distributions.Gamma differentiates with


class StudentTPrior(AbstractPrior):
    """Independent Student-t on every dimension, location and scale trainable; posterior samples are Student-t too.

    Prior and posterior share the degrees of freedom, which are fixed or learned, one number per dimension: then
    1 + (initial - 1) exp(stretch), so that they stay above 1, where a mean exists.
    """

    def __init__(self, config: StudentTConfig, dimensions: int) -> None:
        super().__init__()
        self.initial_degrees = float(config.degrees)
        self.location = nn.Parameter(torch.full((dimensions,), config.location))
        self.log_scale = nn.Parameter(torch.full((dimensions,), math.log(config.scale)))
        if config.train_degrees:
            self.log_stretch: nn.Parameter | None = nn.Parameter(torch.zeros(dimensions))
        else:
            self.register_parameter("log_stretch", None)

    @property
    def degrees(self) -> Float[Tensor, " K"]:
        """Degrees of freedom of every dimension."""
        if self.log_stretch is None:
            return torch.full_like(self.location, self.initial_degrees)
        return 1 + (self.initial_degrees - 1) * torch.exp(self.log_stretch)

    def draw(self, like: Tensor, rng: torch.Generator) -> Draw:
        """Normals, and the chi-squares that make their tails heavy; for learned degrees, also how these move with them.

        The numbers hold for the degrees at the time: draw again after each step.
        """
        degrees = self.degrees.detach()
        # A chi-square is twice a gamma; torch draws gammas without a generator argument only through this primitive.
        shape = (degrees / 2).to(like.device, torch.float64).expand(like.shape)
        chi2 = 2 * torch._standard_gamma(shape, generator=rng)  # noqa: SLF001
        # With very few degrees of freedom a chi-square can round to 0 in float32.
        drawn = {**super().draw(like, rng), "chi2": chi2.to(like.dtype).clamp(min=torch.finfo(like.dtype).tiny)}
        return drawn if self.log_stretch is None else {**drawn, "chi2_slope": chi_square_slope(degrees, chi2).to(like.dtype)}

    def standardise(self, draw: Draw) -> Tensor:
        """normal * sqrt(degrees / chi2); learned degrees get their gradient through both."""
        degrees, chi2 = self.degrees, draw["chi2"]
        if self.log_stretch is not None:
            chi2 = chi2 + draw["chi2_slope"] * (degrees - degrees.detach())  # the value stays, the gradient comes
        return draw["normal"] * torch.sqrt(degrees / chi2)

    def kl(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """ln q - ln p at one fresh sample; summed over dimensions, MEAN over bins if there are any."""
        per_bin = self._gap(mean, std, draw).sum(dim=-1)
        return per_bin if per_bin.dim() == 1 else per_bin.mean(dim=-1)

    def _gap(self, mean: Tensor, std: Tensor, draw: Draw) -> Tensor:
        x, degrees = self.sample(mean, std, draw), self.degrees
        return student_t_log_density(x, mean, std, degrees) - student_t_log_density(x, self.location, torch.exp(self.log_scale), degrees)

    def log_ratio(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """Summed over bins too."""
        return self._gap(mean, std, draw).flatten(1).sum(dim=1)

    def moments(self) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]]:
        """Location, and scale · √(ν / (ν - 2)): infinite for two degrees of freedom or fewer."""
        degrees = self.degrees.detach()
        stretch = torch.where(degrees > 2, torch.sqrt(degrees / (degrees - 2).clamp(min=1e-12)), math.inf)
        return self.location.detach(), torch.exp(self.log_scale.detach()) * stretch

    def generate(self, like: Tensor, rng: torch.Generator) -> Tensor:
        """Independent draws."""
        return self.sample(self.location.expand_as(like), torch.exp(self.log_scale).expand_as(like), self.draw(like, rng))

    def scalars(self) -> dict[str, float]:
        """Mean scale, and mean degrees of freedom when they are learned."""
        scale = {"scale": float(self.log_scale.detach().exp().mean())}
        return scale if self.log_stretch is None else {**scale, "degrees": float(self.degrees.detach().mean())}
