"""Encoders: the trial, read in both directions, becomes a posterior over the initial condition and a controller input.

Trials and weights may carry a leading population axis M, which every operation leaves alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.config.schema import ControllerConfig, EncoderConfig
from lfads_core.model.lagged import lagged
from lfads_core.model.layers import Affine, GRUParameters, drop
from lfads_core.model.outputs import Posterior
from lfads_core.recurrence.choose import Recurrence
from lfads_core.recurrence.weights import GRUWeights


class BidirectionalGRU(nn.Module):
    """Two GRUs over the same input, one backwards, each from a trainable initial state that starts at 0."""

    def __init__(self, inputs: int, hidden: int, rng: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.zeros(2, hidden))
        self.forward_gru = GRUParameters(inputs, hidden, rng, joint_scale=True, scales=(scale, scale))
        self.backward_gru = GRUParameters(inputs, hidden, rng, joint_scale=True, scales=(scale, scale))

    def forward(self, x: Float[Tensor, "*B T D"], loops: Recurrence, clip: float) -> Float[Tensor, "2 *B T C"]:
        """States of the forward and the backward GRU, each in the order in which it reads; both run in one loop, as two members."""
        return loops.gru(*self._both(x), clip=clip).view(2, *x.shape[:-1], -1)

    def last(self, x: Float[Tensor, "*B T D"], loops: Recurrence, clip: float) -> Float[Tensor, "2 *B C"]:
        """State of either GRU after the last bin that it reads."""
        return loops.last(*self._both(x), clip=clip).view(2, *x.shape[:-2], -1)

    def _both(self, x: Float[Tensor, "*B T D"]) -> tuple[Tensor, Tensor, GRUWeights]:
        """Input, first states and weights of both GRUs as members of a population."""
        one, other = self.forward_gru.weights(), self.backward_gru.weights()
        weights = GRUWeights(
            input=_as_members(one.input, other.input, axes=2),
            recurrent=_as_members(one.recurrent, other.recurrent, axes=2),
            bias=_as_members(one.bias, other.bias, axes=1),
        )
        h0 = self.h0.movedim(-2, 0).unsqueeze(-2).expand(2, *x.shape[:-2], -1).flatten(0, -3)
        return _as_members(x, x.flip(-2), axes=3), h0, weights

    def kernels(self) -> list[Tensor]:
        """Recurrent matrices that the L2 term counts."""
        return [self.forward_gru.recurrent, self.backward_gru.recurrent]


class ForwardGRU(nn.Module):
    """One GRU from the first bin to the last, from a trainable initial state that starts at 0."""

    def __init__(self, inputs: int, hidden: int, rng: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.zeros(hidden))
        self.forward_gru = GRUParameters(inputs, hidden, rng, joint_scale=True, scales=(scale, scale))

    def forward(self, x: Float[Tensor, "*B T D"], loops: Recurrence, clip: float) -> Float[Tensor, "1 *B T C"]:
        """States of all bins, with the axis of directions that two of them would have."""
        h0 = self.h0.unsqueeze(-2).expand(*x.shape[:-2], -1)
        return loops.gru(x, h0, self.forward_gru.weights(), clip=clip).unsqueeze(0)

    def kernels(self) -> list[Tensor]:
        """Recurrent matrices that the L2 term counts."""
        return [self.forward_gru.recurrent]


class InitialConditionEncoder(nn.Module):
    """Final states of both directions to the posterior over the initial condition."""

    def __init__(self, width: int, ic_size: int, config: EncoderConfig, rng: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.min_variance = config.min_variance
        self.gru = BidirectionalGRU(width, config.hidden, rng, scale)
        self.posterior = Affine(2 * config.hidden, 2 * ic_size, rng)

    def forward(self, x: Float[Tensor, "*B T D"], loops: Recurrence, clip: float, mask: Tensor | None) -> Posterior:
        """Posterior with variance ``exp(logvar) + min_variance``; ``mask`` drops final states."""
        ahead, back = self.gru.last(x, loops, clip).unbind(0)
        final = drop(torch.cat([ahead, back], dim=-1), mask)
        mean, log_var = self.posterior(final).chunk(2, dim=-1)
        return Posterior(mean=mean, std=torch.sqrt(torch.exp(log_var) + self.min_variance))


class ControllerEncoder(nn.Module):
    """A second pair of GRUs whose states tell the controller what happens around each bin; a causal one reads forwards alone."""

    def __init__(self, width: int, config: ControllerConfig, rng: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.lag = config.lag_bins
        self.gru: BidirectionalGRU | ForwardGRU = (ForwardGRU if config.causal else BidirectionalGRU)(width, config.encoder_hidden, rng, scale)

    def forward(self, x: Float[Tensor, "*B Te D"], loops: Recurrence, clip: float, before: int, bins: int) -> Float[Tensor, "*B T C2"]:
        """Controller input for ``bins`` bins, zeros in the ``before`` first ones and beyond the encoded window.

        Forward states come ``lag`` bins late and backward states ``lag`` bins early, so that the controller
        at bin t has not seen bin t itself; zeros enter where nothing is known. A causal encoder has the forward ones only.
        """
        return lagged(self.gru(x, loops, clip), self.lag, before, bins)


def _as_members(one: Tensor, other: Tensor, *, axes: int) -> Tensor:
    """Both as members of a population: its axis stands before the last ``axes``, and takes in one that is there already."""
    return torch.stack([one, other]).flatten(0, -1 - axes)
