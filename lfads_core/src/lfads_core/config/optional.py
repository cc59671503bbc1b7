"""Settings that are null unless somebody wants them."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import at_least, between, setting, share


@frozen(kw_only=True)
class HoldOutConfig:
    """Channels kept from the encoders and predicted all the same (co-smoothing)."""

    fraction: float = setting(0.25, "share of channels held out", rule=share())
    seed: int = setting(0, "seed of the permutation that picks them", rule=at_least(0))


@frozen(kw_only=True)
class MaskedConfig:
    """Hide input values of validation trials and price only those, which no model can have copied."""

    fraction: float = setting(0.2, "share of input values hidden; the others are divided by 1 - fraction", rule=between(0.01, 0.99))
    passes: int = setting(1, "passes to average, each with masks of its own", rule=at_least(1), unit="passes")
    seed: int = setting(0, "seed of the masks, which are the same in every epoch", rule=at_least(0))


@frozen(kw_only=True)
class PruneConfig:
    """Weights that are set to 0 and stay there: the smallest ones of each matrix."""

    fraction: float = setting(0.5, "share of each named parameter's values, the smallest ones, that become 0", rule=share())
    names: tuple[str, ...] = setting(
        ("*.weight", "*.input", "*.recurrent"), "names of the pruned parameters, with * for anything, as in train.only; those that are trained"
    )
    start_epoch: int = setting(0, "epoch (from 0) before which the weights train in full", rule=at_least(0), unit="epochs")
