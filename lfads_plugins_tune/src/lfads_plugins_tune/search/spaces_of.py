"""What a search looks for: the spaces that settings suggest, those the user gives, and whether the two can be searched at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lfads_core.config.faults import dotted
from lfads_core.config.kinds import Specs, types_in
from lfads_core.config.schema import RunConfig
from lfads_core.config.spaces import SpaceConfig
from lfads_core.config.structure import unstructure
from lfads_core.errors import ConfigError
from lfads_core.wording import shown
from lfads_plugins_tune.search.paths import SEARCH, Address, addresses, faults_of, find
from lfads_plugins_tune.search.settings_class import SearchConfig
from lfads_plugins_tune.search.spaces import drawing_function, points
from lfads_plugins_tune.specs import SearchSpec

FIXED = {
    "data.hold_out": "decides which channels the scores are about",
    "validation": "decides what the scores mean",
    "regularisation.reduce": "decides what the scores mean",
    "components.reconstruction": "decides what the scores mean; search each reconstruction on its own",
    "train.epochs": "is the length of the search itself",
    "train.minutes": "is asked per member; limit the search with search.minutes",
    "search": "is the search itself",
    "track": "changes no model",
}
"""Settings that no search may move, with the reason; also what lies below the groups among them."""

NEAR = {"optim.lr": (4.0, 2.0)}
FAR = (10.0, 10.0)
"""How many times smaller and larger than the run's own value a search looks."""

_IDLE_WITHOUT = {
    "regularisation.kl_inputs": "model.controller",
    "regularisation.l2_controller": "model.controller",
}
"""Suggestions that say nothing while another setting is off."""


def search_of(base: RunConfig) -> SearchConfig:
    """The search section, or its defaults."""
    return base.group(SearchConfig) or SearchConfig()


def resolve_spaces(kind: str, base: RunConfig, registry: Specs) -> dict[str, SpaceConfig]:
    """Every hyperparameter of a search by the path of its setting, in order of the settings.

    Raises:
        PluginError: no algorithm has this name.
        ConfigError: a space leads nowhere, holds values its setting refuses, or cannot be searched in this way; one line for each.
    """
    way, search = registry.get(SearchSpec, kind), search_of(base)
    faults: list[str] = []
    chosen: dict[str, SpaceConfig | None] = {}
    if search.suggested and not way.lists:
        chosen |= around(base, dict(suggestions(base)), moves=way.compares)
    for path, space in search.spaces.items():
        try:
            chosen[find(base, path).path] = space
        except ConfigError as err:
            faults.append(str(err))
    order = {path: i for i, path in enumerate(addresses(base))}
    wanted = {path: space for path, space in sorted(chosen.items(), key=lambda item: order[item[0]]) if space is not None}
    for path, space in wanted.items():
        faults += _faults(way, base, find(base, path), space, registry)
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    if not wanted:
        raise ConfigError(f"{SEARCH}: there must be something to search, got no space. Give one, such as --space optim.lr=log:1e-4:1e-2.")
    return wanted


def suggestions(base: RunConfig) -> Iterator[tuple[str, SpaceConfig]]:
    """Spaces that the settings of this run offer themselves; one with a start begins at the run's own value."""
    known = addresses(base)
    for path, address in known.items():
        space = address.setting.attribute.metadata.get("search")
        idle = _IDLE_WITHOUT.get(path)
        if isinstance(space, SpaceConfig) and not (idle is not None and known[idle].value is None):
            yield path, space if space.init is None else attrs.evolve(space, init=unstructure(address.value, types_in(type(base))))


def around(base: RunConfig, spaces: Mapping[str, SpaceConfig], *, moves: bool) -> dict[str, SpaceConfig]:
    """Suggested spaces laid around the run's own values, where they are log-uniform: what a recording wants is found for it already.

    Where a population ``moves`` from a start, the suggested bounds hold too: it leaves a rate that is too small within a generation, or comes to
    one when it is time; a model that trains by itself keeps what it was given.
    """
    known, found = addresses(base), dict(spaces)
    for path, space in spaces.items():
        value = known[path].value
        if space.kind == "log" and isinstance(value, int | float) and value > 0 and space.low is not None and space.high is not None:
            down, up = NEAR.get(path, FAR)
            low, high = value / down, value * up
            if moves and space.init is not None:
                low, high = min(low, space.low), max(high, space.high)
            found[path] = attrs.evolve(space, low=low, high=high)
    return found


def is_live(address: Address) -> bool:
    """Whether a setting may change while a model trains."""
    return address.setting.attribute.metadata.get("search") is not None


def probes(space: SpaceConfig) -> list[Any]:
    """The values at the edges of a space, all of a choice, and the start."""
    if space.kind == "choice" or space.values:
        found: list[Any] = list(space.values or ())
    elif space.kind == "int":
        found = [int(bound) for bound in (space.low, space.high) if bound is not None]
    else:
        found = [bound for bound in (space.low, space.high) if bound is not None]
    return found if space.init is None else [*found, space.init]


def _faults(way: SearchSpec, base: RunConfig, address: Address, space: SpaceConfig, registry: Specs) -> Iterator[str]:
    path = address.path
    for fixed, why in FIXED.items():
        if path == fixed or (path.startswith(f"{fixed}.") and fixed != "components.reconstruction"):
            yield f"{SEARCH}: {path}: must stay as it is in a search, for it {why}."
            return
    if way.compares and not is_live(address):
        yield (
            f"{SEARCH}: {path}: must be a setting that can change while a model trains, got one that shapes the model, its data or its start. "
            "Search it with `lfads search random` or `grid`; of a component of your own, declare it with setting(..., search=LIVE)."
        )
        return
    if rules := space.rules():
        yield from (f"{SEARCH}: {path}: {rule}" for rule in rules)
        return
    try:
        if space.kind == "function":
            drawing_function(space)
        if way.lists:
            points(space, path)
    except ConfigError as err:
        yield str(err) if str(err).startswith(str(SEARCH)) else f"{SEARCH}: {path}: {err}"
        return
    yield from _faults_of_values(base, path, space, registry)


def _faults_of_values(base: RunConfig, path: str, space: SpaceConfig, registry: Specs) -> Iterator[str]:
    for value in probes(space):
        if text := faults_of(base, {path: value}, registry):
            yield from text.splitlines()
    start, low, high = space.init, space.low, space.high
    number = isinstance(start, int | float) and not isinstance(start, bool)
    if number and space.enforce and low is not None and high is not None and not low <= start <= high:
        yield f"{SEARCH}: {path}: must start within its space, from {low:g} to {high:g}, got {shown(start)}. Set it there, or give a wider space."


def text_of(space: SpaceConfig) -> str:
    """A space in a few signs, as ``--space`` takes it: ``log:1e-05:0.005:init=0.004``."""
    if space.values is not None:
        head = f"choice:{','.join(_word(value) for value in space.values)}"
    elif space.kind == "function":
        head = f"function:{space.function}"
    else:
        head = f"{space.kind}:{space.low:g}:{space.high:g}"
    more = [f"init={shown(space.init)}"] if space.init is not None else []
    more += [f"explore={space.explore:g}"] if space.explore != attrs.fields(SpaceConfig).explore.default else []
    return ":".join([head, *more, *([] if space.enforce else ["enforce=false"])])


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name", dotted(tuple(value))))
    return value if isinstance(value, str) else shown(value)
