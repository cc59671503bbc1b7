"""Settings that have another place today than in files that were written before."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


def as_today(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Plain settings with what has moved in its new place: ``regularisation.input_correlation`` is the loss ``input-correlation``."""
    group = data.get("regularisation")
    if not isinstance(group, Mapping) or "input_correlation" not in group:
        return data
    rest = {key: value for key, value in group.items() if key != "input_correlation"}
    scale, components = group["input_correlation"], data.get("components") or {}
    moved = {**data, "regularisation": rest}
    if scale == 0 or not isinstance(components, Mapping):
        return moved
    _say_once()
    losses = [*(components.get("losses") or ()), {"name": "input-correlation", "scale": scale, **rest.get("kl_ramp", {})}]
    return {**moved, "components": {**components, "losses": losses}}


@functools.cache
def _say_once() -> None:
    log.info("regularisation.input_correlation is today the loss 'input-correlation' (components.losses), and is read as that")
