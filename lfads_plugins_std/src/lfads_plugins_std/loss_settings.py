"""Settings of losses and alignments; importing this loads no torch."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting
from lfads_core.config.losses import AlignmentConfig, LossConfig


@frozen(kw_only=True)
class BehaviourConfig(LossConfig):
    """Behaviour that is decoded from the factors."""

    key: str | None = setting(None, "array of the file without its split, such as cursor for train_cursor (null: behavior or behaviour)")
    lag_bins: int = setting(0, "bins from factors to the behaviour that is decoded from them", rule=at_least(0), unit="bins", tune="sometimes")


@frozen(kw_only=True)
class NomadConfig(AlignmentConfig):
    """Divergence of the new sessions' generator states from the old ones', both taken as normal."""

    floor: float = setting(
        0.01, "added to every variance, as a share of the old states' mean variance: what varies less than this is hardly looked at", rule=above(0)
    )
