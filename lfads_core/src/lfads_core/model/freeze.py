"""Parameters that a training leaves as they are, by name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from lfads_core.config.schema import TrainConfig
from lfads_core.errors import ConfigError
from lfads_core.model.lfads import LFADS
from lfads_core.wording import listed, near


def freeze(network: LFADS, config: TrainConfig) -> None:
    """Take out of training what ``train.only`` does not name, and what ``train.frozen`` names.

    Raises:
        ConfigError: a pattern fits no parameter, or nothing is left to be trained.
    """
    if not config.only and not config.frozen:
        return
    named = dict(network.named_parameters())
    kept = matching(list(named), config.only, "train.only") if config.only else set(named)
    kept -= matching(list(named), config.frozen, "train.frozen")
    for name, parameter in named.items():
        parameter.requires_grad_(parameter.requires_grad and name in kept)
    if not any(parameter.requires_grad for parameter in named.values()):
        raise ConfigError("train.only, train.frozen: must leave something to be trained, got settings under which every parameter is fixed.")


def prunable(network: LFADS, config: TrainConfig) -> set[str]:
    """Names of the trained parameters that ``train.prune.names`` names; none without ``train.prune``.

    Raises:
        ConfigError: a pattern fits none.
    """
    if config.prune is None:
        return set()
    return matching([name for name, p in network.named_parameters() if p.requires_grad], config.prune.names, "train.prune.names")


def matching(names: Sequence[str], patterns: Sequence[str], setting: str) -> set[str]:
    """Those of the names that fit one of the patterns.

    Raises:
        ConfigError: a pattern fits none; the message names near ones.
    """
    found: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in names if fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")}
        if not fitting:
            stems = [".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)]
            like = near(pattern.rstrip("*").rstrip("."), list(dict.fromkeys(stems)))
            hint = f"Did you mean {listed(like)}?" if like else f"They begin with {listed(sorted({name.partition('.')[0] for name in names}))}."
            raise ConfigError(f"{setting}: must name parameters of the model, got {pattern!r}, which fits none. {hint}")
        found |= fitting
    return found
