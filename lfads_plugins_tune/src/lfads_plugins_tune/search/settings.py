"""The settings of a search: defaults of its kind, then those of a run, then what members are scored by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs

from lfads_core.config.fields import known
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.config.spaces import SpaceConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_core.train.schedule import ramps_end
from lfads_plugins_tune.search.decide import targets
from lfads_plugins_tune.search.score import Judge
from lfads_plugins_tune.search.settings_class import SearchConfig
from lfads_plugins_tune.search.spaces_of import resolve_spaces, search_of
from lfads_plugins_tune.specs import SearchSpec


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The resolved settings of a search: everything its decisions depend on."""

    kind: str
    base: RunConfig
    spaces: Mapping[str, SpaceConfig]  # by path of the setting
    score: str  # column of the members' logs that is compared; with a leading '-' most wins
    targets: tuple[int, ...]  # epochs in total at the end of each generation
    burn_in: int  # epochs before the first comparison


def resolve_base(
    kind: str, files: Sequence[Path], plugins: Sequence[str], overrides: Sequence[str], spaces: Mapping[str, Any], registry: Registry
) -> RunConfig:
    """The base settings of a search; ``spaces`` are those of the command line, which win.

    Raises:
        ConfigError: one line for each fault.
    """
    config = resolve(files, plugins, overrides, registry, defaults=defaults_of(kind, registry))
    if config.group(SearchConfig) is None:
        raise ConfigError("search: must be on for a search, got null. Leave it out for its defaults.")
    if not spaces:
        return config
    data = unstructure(config)
    data["search"]["spaces"] = {**data["search"]["spaces"], **spaces}
    return structure(data, registry)


def defaults_of(kind: str, registry: Registry) -> dict[str, Any]:
    """What an algorithm changes in the defaults of a run, with the group ``search`` on.

    Raises:
        PluginError: no algorithm has this name.
    """
    return {"search": {}, **registry.get(SearchSpec, kind).defaults}


def resolve_search(kind: str, base: RunConfig, score: str, judge: Judge, registry: Registry) -> SearchSettings:
    """Settle spaces and generations, with members judged by ``judge`` and compared by the column ``score``.

    Raises:
        ConfigError: the spaces or lengths do not do.
    """
    if base.train.minutes is not None:
        raise ConfigError(f"train.minutes: must be null in a search, got {base.train.minutes:g}. Limit the search itself with search.minutes.")
    search = search_of(base)
    base = attrs.evolve(base, validation=attrs.evolve(base.validation, judge=judge))
    burn_in = burn_in_of(base) if registry.get(SearchSpec, kind).compares else 0
    total = base.train.epochs
    if search.generations is not None:
        total = burn_in + search.generations * search.interval
    if burn_in >= total:
        raise ConfigError(
            f"search.burn_in: must end before the search does, after train.epochs ({total}), got {burn_in} epochs"
            f"{', when the ramps have ended' if search.burn_in is None else ''}. Train longer, or shorten the ramps or the burn-in."
        )
    schedule = registry.get(SearchSpec, kind).schedule
    ends = targets(total, search.interval, burn_in) if schedule is None else schedule(total, max(search.interval, burn_in_of(base)), search)
    every = known(base.train.metrics_every, "train.metrics_every")
    every = min(every, search.interval) if score.startswith("-") else every
    base = attrs.evolve(base, train=attrs.evolve(base.train, epochs=total, metrics_every=every))
    return SearchSettings(
        kind=kind,
        base=base,
        spaces=resolve_spaces(kind, base, registry),
        score=score,
        targets=tuple(ends),
        burn_in=burn_in,
    )


def burn_in_of(base: RunConfig) -> int:
    """Epochs before members are compared: as set, or until both ramps stand at 1."""
    given = search_of(base).burn_in
    return ramps_end(base.regularisation) if given is None else given
