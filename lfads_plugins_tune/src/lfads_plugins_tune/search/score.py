"""What members are compared by: a cost that copying cannot win where there is one, or a metric."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from lfads_core.config.schema import RunConfig
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_core.wording import listed, near
from lfads_plugins_tune.search.spaces_of import search_of

log = logging.getLogger(__name__)

Judge = Literal["recon", "heldout", "masked"]

COSTS: Mapping[str, Judge] = {"heldout": "heldout", "masked": "masked", "recon": "recon"}


def choose_score(base: RunConfig, sessions: Sequence[Session], registry: Registry) -> tuple[str, Judge]:
    """The column of the log that members are compared by, with ``-`` before it where most wins; and the cost that judges each member.

    ``auto`` is ``validation.judge`` if that is set; else held-out channels if there are any; else masked values; of another modality than
    is read every value is unseen.

    Raises:
        ConfigError: ``search.score`` is no cost, and no metric of these data.
    """
    score = search_of(base).score
    judge = base.validation.judge if base.validation.judge != "recon" else _unseen(sessions)
    if score == "auto":
        return f"valid/{judge}_smooth", judge
    if score in COSTS:
        if score == "recon" and _unseen(sessions) != "recon":
            log.warning(
                "search.score: 'recon' counts values that the encoders saw, so a member that copies its input may win; 'auto' takes %s.", judge
            )
        return f"valid/{score}_smooth", COSTS[score]
    known = metric_names(base, sessions, registry)
    name = score.removeprefix("valid/")
    if not score.startswith("valid/") or name not in known:
        like = near(score, [*COSTS, "auto", *(f"valid/{other}" for other in known)])
        hint = f"Did you mean {listed(like)}?" if like else f"Metrics of these data: {', '.join(f'valid/{other}' for other in known) or 'none'}."
        raise ConfigError(f"search.score: must be auto, {', '.join(COSTS)}, or a metric of these data, got {score!r}. {hint}")
    return f"-valid/{name}", judge


def metric_names(base: RunConfig, sessions: Sequence[Session], registry: Registry) -> list[str]:
    """Names of every number that the installed metrics give for the validation trials, found out on constant predictions."""
    from lfads_core.model.build import build_model
    from lfads_core.model.description import describe
    from lfads_core.train.evaluate import score

    model = build_model(base, describe(sessions), registry)
    means = {}
    for session in sessions:
        data = session.splits["valid"].recon
        level = np.nanmean(session.splits["train"].recon, axis=(0, 1))
        means[session.name] = np.broadcast_to(np.nan_to_num(level, nan=1.0) + 1e-6, data.shape).astype(np.float32)
    return list(score(means, sessions, "valid", model, registry))


def _unseen(sessions: Sequence[Session]) -> Judge:
    from lfads_core.train.unseen import has_heldout

    if any(has_heldout(session) for session in sessions):
        return "heldout"
    return "masked" if any(session.splits["valid"].nested for session in sessions) else "recon"
