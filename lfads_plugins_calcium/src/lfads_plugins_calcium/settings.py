"""Settings of the calcium components; importing this loads no torch."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting
from lfads_core.config.spaces import LIVE


@frozen(kw_only=True)
class ZIGConfig:
    """Zero-inflated gamma: no event, or an event of gamma-distributed size."""

    gamma_loc: float = setting(0.0, "smallest size of an event", rule=at_least(0), unit="units of the data", tune="sometimes")
    scale_init: float | None = setting(
        None, "where each channel's two trainable scales start (null: twice the shape and rate of the channel's own events)", rule=above(0)
    )
    scale_prior: float | None = setting(None, "value the scales are pulled to (null: where they start)", rule=above(0))
    scale_penalty: float = setting(
        1e-5, "strength of that pull; the loss is a mean over values, so that this is for all channels together", rule=at_least(0), search=LIVE
    )
