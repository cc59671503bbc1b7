"""Priors that set the price of their divergence themselves, for ``kl_choices.py``: ``lfads run --plugin-file bench/kl_priors.py``.

``free-*``: a trial's divergence costs nothing up to so many nats (free bits, Kingma et al. 2016). ``held-*``: a factor on the divergence, trained
against the loss, rises while the divergence is above a target and falls below it (Rezende & Viola 2018).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor, nn

from lfads_core.components.prior import Draw
from lfads_core.config.fields import at_least, setting
from lfads_core.plugins import PriorSpec, hookimpl
from lfads_plugins_std.autoregressive import AutoregressivePrior
from lfads_plugins_std.normal import NormalPrior
from lfads_plugins_std.settings import AutoregressiveConfig, NormalConfig


@frozen(kw_only=True)
class OwnNormal(NormalConfig):
    """A normal prior with a price of its own."""

    nats: float = setting(10.0, "nats of a trial that are free, or that are held", rule=at_least(0))


@frozen(kw_only=True)
class OwnAutoregressive(AutoregressiveConfig):
    """An autoregressive prior with a price of its own."""

    nats: float = setting(10.0, "nats of a trial that are free, or that are held", rule=at_least(0))


class FreeNormal(NormalPrior):
    """Costs nothing up to ``nats``."""

    def __init__(self, config: OwnNormal, dimensions: int) -> None:
        super().__init__(config, dimensions)
        self.nats = config.nats

    def kl(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """What is above."""
        return (super().kl(mean, std, draw) - self.nats).clamp(min=0)


class FreeAutoregressive(AutoregressivePrior):
    """Costs nothing up to ``nats``."""

    def __init__(self, config: OwnAutoregressive, dimensions: int) -> None:
        super().__init__(config, dimensions)
        self.nats = config.nats

    def kl(self, mean: Float[Tensor, "B T U"], std: Float[Tensor, "B T U"], draw: Draw) -> Float[Tensor, " B"]:
        """What is above."""
        return (super().kl(mean, std, draw) - self.nats).clamp(min=0)


class HeldNormal(NormalPrior):
    """Held near ``nats``."""

    def __init__(self, config: OwnNormal, dimensions: int) -> None:
        super().__init__(config, dimensions)
        self.nats, self.log_price = config.nats, nn.Parameter(torch.zeros(()))

    def kl(self, mean: Float[Tensor, "B *T K"], std: Float[Tensor, "B *T K"], draw: Draw) -> Float[Tensor, " B"]:
        """The divergence times its price, which goes up where it is above the target."""
        return held(super().kl(mean, std, draw), self.nats, self.log_price)


class HeldAutoregressive(AutoregressivePrior):
    """Held near ``nats``."""

    def __init__(self, config: OwnAutoregressive, dimensions: int) -> None:
        super().__init__(config, dimensions)
        self.nats, self.log_price = config.nats, nn.Parameter(torch.zeros(()))

    def kl(self, mean: Float[Tensor, "B T U"], std: Float[Tensor, "B T U"], draw: Draw) -> Float[Tensor, " B"]:
        """The divergence times its price, which goes up where it is above the target."""
        return held(super().kl(mean, std, draw), self.nats, self.log_price)


def held(kl: Float[Tensor, " B"], nats: float, log_price: Float[Tensor, ""]) -> Float[Tensor, " B"]:
    """``β KL``, with a gradient of -(KL - nats) to ln β: the optimiser, which makes the loss less, makes the price of too much more."""
    excess = (kl.detach() - nats) * log_price
    return log_price.detach().exp() * kl - (excess - excess.detach())


@hookimpl
def lfads_priors() -> Iterator[PriorSpec]:
    """All four."""
    yield PriorSpec(name="free-normal", summary="Normal with free nats", config=OwnNormal, build=FreeNormal)
    yield PriorSpec(name="free-autoregressive", summary="AR(1) with free nats", config=OwnAutoregressive, build=FreeAutoregressive)
    yield PriorSpec(name="held-normal", summary="Normal at so many nats", config=OwnNormal, build=HeldNormal)
    yield PriorSpec(name="held-autoregressive", summary="AR(1) at so many nats", config=OwnAutoregressive, build=HeldAutoregressive)
