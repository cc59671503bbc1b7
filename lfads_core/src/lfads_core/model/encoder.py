"""Encoders in their places: a trial becomes a posterior over the initial condition and what the controller hears.

Trials and weights may carry a leading population axis M.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components import AbstractEncoder
from lfads_core.model.lagged import lagged
from lfads_core.model.layers import Affine, drop
from lfads_core.model.members import each_member
from lfads_core.model.outputs import Posterior


class EncoderPlace(nn.Module):
    """Holds an encoder under the name of the component, so that ``encoder.gru.h0`` is a name of a weight."""

    def __init__(self, name: str, part: AbstractEncoder) -> None:
        super().__init__()
        self.key = f"{name}@" if name in dir(self) else name
        self.add_module(self.key, part)

    @property
    def part(self) -> AbstractEncoder:
        """The encoder."""
        found = self.get_submodule(self.key)
        if not isinstance(found, AbstractEncoder):
            raise TypeError(f"{self.key} must be an AbstractEncoder, got {type(found).__name__}")
        return found

    def states(self, x: Float[Tensor, "*B Te D"]) -> Float[Tensor, "W *B Te C"]:
        """States of each direction, in the order in which it reads."""
        part = self.part
        found: Tensor = each_member(part, part, {"x": x}, out_axis=1) if x.dim() > 3 and not part.population else part(x)
        return found.to(x.dtype)

    def summary(self, x: Float[Tensor, "*B Te D"]) -> Float[Tensor, "*B K"]:
        """What is known of the whole trial."""
        part = self.part
        found: Tensor = each_member(part, part.summary, {"x": x}) if x.dim() > 3 and not part.population else part.summary(x)
        return found.to(x.dtype)


class InitialConditionEncoder(EncoderPlace):
    """An encoder's summary to the posterior over the initial condition."""

    def __init__(self, name: str, part: AbstractEncoder, ic_size: int, min_variance: float, rng: torch.Generator) -> None:
        super().__init__(name, part)
        self.min_variance = min_variance
        self.posterior = Affine(part.features, 2 * ic_size, rng)

    def forward(self, x: Float[Tensor, "*B T D"], mask: Tensor | None) -> Posterior:
        """Posterior with variance ``exp(logvar) + min_variance``; ``mask`` drops values of the summary."""
        mean, log_var = self.posterior(drop(self.summary(x), mask)).chunk(2, dim=-1)
        return Posterior(mean=mean, std=torch.sqrt(torch.exp(log_var) + self.min_variance))


class ControllerEncoder(EncoderPlace):
    """A second encoder, whose states tell the controller what happens around each bin; a causal one reads forwards alone."""

    def __init__(self, name: str, part: AbstractEncoder, lag: int) -> None:
        super().__init__(name, part)
        self.lag = lag

    @property
    def size(self) -> int:
        """Width of what the controller hears: one direction, or two."""
        return self.part.directions * self.part.size

    def forward(self, x: Float[Tensor, "*B Te D"], before: int, bins: int) -> Float[Tensor, "*B T C2"]:
        """Controller input for ``bins`` bins, zeros in the ``before`` first ones and beyond the encoded window.

        Forward states come ``lag`` bins late and backward states ``lag`` bins early, so that the controller
        at bin t has not seen bin t itself; zeros enter where nothing is known. A causal encoder has the forward ones only.
        """
        return lagged(self.states(x), self.lag, before, bins)
