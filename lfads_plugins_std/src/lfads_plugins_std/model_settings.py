"""Settings of encoders and generators; importing this loads no torch. Their sizes are those of ``model``."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import at_least, between, setting
from lfads_core.config.spaces import LIVE


@frozen(kw_only=True)
class LSTMConfig:
    """A long short-term memory in each direction."""

    forget_bias: float = setting(1.0, "first bias of the forget gates; more remembers longer at the start")


@frozen(kw_only=True)
class TransformerConfig:
    """Self-attention in each direction, to the bins that the direction has read already."""

    layers: int = setting(2, "blocks of attention and of a small network", rule=at_least(1), tune="sometimes")
    heads: int = setting(4, "heads of attention", rule=at_least(1), tune="sometimes")
    head_size: int = setting(16, "width of keys, queries and values of a head", rule=at_least(1))
    expansion: int = setting(2, "hidden units of the small network, in widths of the encoder", rule=at_least(1))
    window: int | None = setting(None, "bins back that attention reaches, the own one included (null: all)", rule=at_least(1), unit="bins")


@frozen(kw_only=True)
class LinearDynamicsConfig:
    """Linear dynamics."""

    persistence: float = setting(0.9, "p in the first matrix, p I + (1 - p) W with random W", rule=between(0, 1), tune="sometimes")


@frozen(kw_only=True)
class LowRankConfig:
    """A network of leaky units whose connections have a low rank."""

    rank: int = setting(4, "rank of the connections: dimensions that the units' own dynamics have", rule=at_least(1), tune="often")
    leak: float = setting(0.2, "share of a unit's value that is replaced in each bin", rule=between(0, 1), tune="sometimes", search=LIVE)


@frozen(kw_only=True)
class MLPConfig:
    """Residual dynamics: a small network says how the state changes."""

    hidden: int = setting(128, "units of each hidden layer", rule=at_least(1), unit="units", tune="sometimes")
    layers: int = setting(2, "hidden layers", rule=at_least(1), tune="sometimes")
    change: float = setting(0.1, "factor on the change in each bin", rule=between(0, 1), tune="sometimes", search=LIVE)
