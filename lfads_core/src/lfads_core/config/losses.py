"""What the settings of every loss have: how much it counts, and from when."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import at_least, setting
from lfads_core.config.schema import RampConfig
from lfads_core.config.spaces import log


@frozen(kw_only=True)
class LossConfig(RampConfig):
    """A further loss, whose terms grow from 0 to their scale."""

    scale: float = setting(1.0, "factor on its terms", rule=at_least(0), tune="often", search=log(1e-3, 10.0, explore=0.8))
