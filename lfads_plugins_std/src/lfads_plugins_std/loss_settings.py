"""Settings of losses; importing this loads no torch."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import at_least, setting
from lfads_core.config.losses import LossConfig


@frozen(kw_only=True)
class BehaviourConfig(LossConfig):
    """Behaviour that is decoded from the factors."""

    key: str | None = setting(None, "array of the file without its split, such as cursor for train_cursor (null: behavior or behaviour)")
    lag_bins: int = setting(0, "bins from factors to the behaviour that is decoded from them", rule=at_least(0), unit="bins", tune="sometimes")
