"""Putting settings from several places on top of each other, as plain data.

Mappings merge key by key, lists replace, and naming a different component replaces its settings along with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from lfads_core.config.kinds import settings_of
from lfads_core.config.own_types import Types
from lfads_core.errors import ConfigError


@frozen
class PlaceShape:
    """What the schema says about a place: a group, a component, a list of components, or none of these."""

    group: type | None = None
    component: bool = False
    items: bool = False
    own: Types | None = None  # types of plugins, by default those that the group's class carries

    def below(self, key: str) -> PlaceShape:
        """The shape one key further down."""
        if self.items:
            return PlaceShape(component=True)
        setting = settings_of(self.group, self.own).get(key) if self.group else None
        if setting is None:
            return PlaceShape()
        return PlaceShape(setting.group, component=setting.takes_one, items=setting.component is not None and not setting.takes_one, own=setting.own)


def merge(under: Any, over: Any, shape: PlaceShape) -> Any:
    """Lay ``over`` on ``under``; neither is changed."""
    if shape.component:
        under, over = _named(under), _named(over)
    if shape.items and isinstance(over, list | tuple):
        return [plain(_named(item)) for item in over]
    if not isinstance(over, Mapping):
        return plain(over)
    if not isinstance(under, Mapping) or (shape.component and over.get("name", under.get("name")) != under.get("name")):
        under = {}
    return {**under, **{key: merge(under.get(key), value, shape.below(key)) for key, value in over.items()}}


def put(under: Any, way: Sequence[str], value: Any, shape: PlaceShape) -> Any:
    """Lay ``value`` on the place that ``way`` leads to; a number leads into a list, or the name of one of its components.

    Raises:
        ConfigError: the list there has no such entry.
    """
    if not way:
        return merge(under, value, shape)
    key, rest = way[0], way[1:]
    if isinstance(under, list):
        i = entry(under, key)
        return [*under[:i], put(under[i], rest, value, shape.below(key)), *under[i + 1 :]]
    if shape.component:
        under = _named(under)
    below = under.get(key) if isinstance(under, Mapping) else None
    return merge(under, {key: put(below, rest, value, shape.below(key))}, shape)


def entry(items: Sequence[Any], key: str) -> int:
    """The index that a number, or the name of a component that is there once, means in a list.

    Raises:
        ConfigError: it means none.
    """
    names = component_names(items)
    if names.count(key) == 1:
        return names.index(key)
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    if not items:
        raise ConfigError(f"must lead to an entry by its number, but the list is empty, got {key!r}")
    if key in names:
        raise ConfigError(f"must lead to an entry by its number, for the name is there {names.count(key)} times, got {key!r}")
    by = f"name or number, one of {', '.join(names)}" if all(names) else f"its number, from 0 to {len(items) - 1}"
    raise ConfigError(f"must lead to an entry by {by}, got {key!r}")


def numbered(data: Any, way: Sequence[str]) -> list[str]:
    """The way to a place, with numbers for names of entries in lists; what leads nowhere stays."""
    found = []
    for key in way:
        if isinstance(data, list):
            try:
                i = entry(data, key)
            except ConfigError:
                data = None
            else:
                key, data = str(i), data[i]  # noqa: PLW2901 - the same place, called otherwise
        else:
            data = data.get(key) if isinstance(data, Mapping) else None
        found.append(key)
    return found


def component_names(items: Sequence[Any]) -> list[str]:
    """Of each entry of a list; empty for one that is no component."""
    return [str(item.get("name", "")) if isinstance(item := _named(each), Mapping) else "" for each in items]


def plain(value: Any) -> Any:
    """A copy in mappings, lists and scalars; recipes may be written with tuples."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value
