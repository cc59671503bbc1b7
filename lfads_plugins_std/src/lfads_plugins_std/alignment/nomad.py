"""Generator states of a new day that are distributed as those of the old ones (NoMAD, Karpowicz et al. 2025)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.components import AbstractAlignment, Latents, LossInfo
from lfads_plugins_std.loss_settings import NomadConfig


class Nomad(AbstractAlignment):
    """``KL(N(m, S) || N(m0, S0)) / G``: m, S of the states of all bins of a batch, m0, S0 of those it met, G their dimensions.

    To both covariances ``floor`` times the mean variance of S0 is added: networks leave most dimensions nearly empty, in which the
    divergence would be about nothing but noise.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, settings: NomadConfig, info: LossInfo) -> None:
        super().__init__()
        self.floor = settings.floor
        self.register_buffer("mean", torch.zeros(info.states))
        self.register_buffer("covariance", torch.eye(info.states))

    @torch.no_grad()
    def meet(self, latents: Latents) -> None:
        """Take mean and covariance."""
        mean, covariance = moments(latents.gen_states.double())
        self.mean.copy_(mean)
        self.covariance.copy_(covariance)

    def distance(self, latents: Latents) -> Float[Tensor, ""]:
        """In nats for each dimension of the state."""
        mean, covariance = moments(latents.gen_states)
        variance = self.covariance.diagonal().mean().clamp(min=torch.finfo(covariance.dtype).tiny)
        ground = self.floor * variance * torch.eye(len(mean), dtype=covariance.dtype, device=covariance.device)
        return normal_kl(mean, covariance + ground, self.mean, self.covariance + ground) / len(mean)


def moments(values: Float[Tensor, "B T G"]) -> tuple[Float[Tensor, " G"], Float[Tensor, "G G"]]:
    """Mean and covariance over trials and bins."""
    rows = values.flatten(0, 1)
    mean = rows.mean(dim=0)
    centred = rows - mean
    return mean, centred.T @ centred / len(rows)


def normal_kl(
    mean: Float[Tensor, " G"], covariance: Float[Tensor, "G G"], mean_0: Float[Tensor, " G"], covariance_0: Float[Tensor, "G G"]
) -> Float[Tensor, ""]:
    """``KL(N(m, S) || N(m0, S0)) = ½ (|L0^-1 L|² + |L0^-1 (m - m0)|² - G) - log |L| + log |L0|`` with S = L L', S0 = L0 L0'."""
    root, root_0 = (torch.linalg.cholesky_ex(matrix).L for matrix in (covariance, covariance_0))  # without asking the device how it went
    apart = torch.cat([root, (mean - mean_0).unsqueeze(-1)], dim=-1)
    size = torch.linalg.solve_triangular(root_0, apart, upper=False).square().sum()
    divergence: Tensor = 0.5 * (size - len(mean)) - root.diagonal().log().sum() + root_0.diagonal().log().sum()
    return divergence
