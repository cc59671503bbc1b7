"""Settings of the calcium components; importing this loads no torch."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting


@frozen(kw_only=True)
class ZIGConfig:
    """Zero-inflated gamma: no event, or an event of gamma-distributed size."""

    gamma_loc: float = setting(0.0, "smallest size of an event", rule=at_least(0), unit="units of the data", tune="sometimes")
    scale_init: float = setting(2.0, "where each channel's two trainable scales start", rule=above(0))
    scale_prior: float = setting(1.0, "value the scales are pulled to", rule=above(0))
    scale_penalty: float = setting(0.1, "strength of that pull", rule=at_least(0))
