"""What the settings of every loss and of every latent have: how much it counts."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import AUTO, Auto, at_least, setting
from lfads_core.config.schema import RampConfig
from lfads_core.config.spaces import log

_KL = log(1e-6, 1e-3, explore=0.8)


@frozen(kw_only=True)
class LossConfig(RampConfig):
    """A further loss, whose terms grow from 0 to their scale."""

    scale: float | Auto = setting(
        AUTO,
        "factor on its terms (auto: 1 is as much as a nat in each bin of one channel: 1 / channels, or bins of a trial if reconstruction is summed)",
        rule=at_least(0),
        tune="often",
        search=log(1e-4, 1.0, explore=0.8),
    )


@frozen(kw_only=True)
class AlignmentConfig(RampConfig):
    """A distance of latents from those of sessions before."""

    increase_epochs: int = setting(0, "epochs it takes to grow", rule=at_least(0), unit="epochs")
    scale: float | Auto = setting(
        AUTO,
        "factor on the distance (auto: 0.1, times the values of a trial if reconstruction is summed)",
        rule=at_least(0),
        tune="often",
        search=log(1e-3, 10.0, explore=0.8),
    )


@frozen(kw_only=True)
class LatentConfig:
    """A further latent."""

    kl: float | Auto = setting(
        AUTO,
        "scale of its divergence from its prior, ramped with the other KL terms (auto: 0.03 of what makes the loss an ELBO)",
        rule=at_least(0),
        tune="often",
        search=_KL,
    )
