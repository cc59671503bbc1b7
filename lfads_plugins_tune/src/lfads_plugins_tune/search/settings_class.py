"""Settings of a search."""

from __future__ import annotations

from attrs import frozen

from lfads_core.config.fields import above, at_least, setting
from lfads_core.config.spaces import SpaceConfig


@frozen(kw_only=True)
class SearchConfig:
    """A search over hyperparameters: such as `lfads search random`, `grid` or `pbt`."""

    members: int = setting(
        20, "models trained at a time (random, sha, tpe: in all); a grid has as many as it has points", rule=at_least(1), tune="sometimes"
    )
    batch: int = setting(4, "models that are asked for and trained at a time (tpe)", rule=at_least(1))
    reduction: int = setting(3, "at each rung one of so many models trains on, the best (sha, tpe; 1: all)", rule=at_least(1))
    seed: int = setting(0, "seed of every decision; member m trains with train.seed + m", rule=at_least(0))
    interval: int = setting(25, "epochs of a generation, after which scores are compared", rule=at_least(1), unit="epochs", tune="sometimes")
    burn_in: int | None = setting(
        None, "epochs before the first comparison (null: until the ramps have ended)", rule=at_least(0), unit="epochs", tune="sometimes"
    )
    generations: int | None = setting(None, "most generations after the burn-in (null: until train.epochs)", rule=at_least(1), unit="generations")
    minutes: float | None = setting(None, "most wall-clock time; asked after each generation (null: no limit)", rule=above(0), unit="min")
    patience: int = setting(4, "generations over which the best score must improve, or a population stops", rule=at_least(1), unit="generations")
    min_improvement: float | None = setting(
        5e-4, "least improvement over these generations, as a share of the mean size of their scores (null: go on)", rule=at_least(0)
    )
    score: str = setting(
        "auto",
        "what members are compared by: heldout, masked, recon, a metric such as valid/co_bps (most wins), or auto: "
        "heldout if channels are held out, else masked",
        tune="sometimes",
    )
    spaces: dict[str, SpaceConfig | None] = setting(
        dict, "spaces by setting, such as optim.lr; null keeps a suggested setting as it is", tune="sometimes"
    )
    suggested: bool = setting(True, "whether to search what settings and components suggest, beside spaces (a grid never does)")
    retries: int = setting(1, "times a member that failed is tried again before it is replaced; also an inference of the best", rule=at_least(0))
