"""Settings of latents; importing this loads no torch."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from lfads_core.config.fields import above, at_least, one_of, setting
from lfads_core.config.losses import LatentConfig


@frozen(kw_only=True)
class ContextConfig(LatentConfig):
    """A vector of each trial."""

    size: int = setting(2, "width of the context", rule=at_least(1), tune="sometimes")
    hidden: int = setting(64, "units that are averaged over bins", rule=at_least(1), unit="units")
    variance: float = setting(1.0, "variance of the prior, a normal around 0", rule=above(0))
    enters: Literal["generator", "initial"] = setting(
        "generator", "where it enters: as inputs of the generator that stay the same in all bins, or beside the initial condition",
        rule=one_of("generator", "initial"),
    )  # fmt: skip
