"""Hyperparameters by the path of their setting, through groups, components and lists of components, which are named rather than numbered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lfads_core.config.chosen import Component
from lfads_core.config.faults import Origin, Path, dotted
from lfads_core.config.kinds import Setting, Specs, is_group, settings_of, types_in
from lfads_core.config.merge import PlaceShape, component_names, numbered, put
from lfads_core.config.own_types import Types
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.errors import ConfigError
from lfads_core.wording import listed, near

SEARCH = Origin("search.spaces")


@dataclass(frozen=True, kw_only=True)
class Address:
    """One setting that exists in given settings: its path with names in lists, its declaration, and its value there."""

    path: str
    setting: Setting
    value: Any


def addresses(base: RunConfig) -> dict[str, Address]:
    """Everything in these settings that has a path, groups and components too, in the order of the schema.

    An entry of a list is called by its component's name (``components.train_augmentations.coordinated-dropout.rate``), or by its
    number where the name stands twice.
    """
    return {address.path: address for address in _walk(base, (), types_in(type(base)))}


def find(base: RunConfig, path: str) -> Address:
    """The setting at ``path``; an entry of a list may also be given by its number.

    Raises:
        ConfigError: there is none, or it lies below something that is off; near misses are listed.
    """
    known = addresses(base)
    by_name = dotted(_named(unstructure(base), path.split(".")))
    if by_name in known:
        return known[by_name]
    parts = path.split(".")
    for n in range(len(parts) - 1, 0, -1):
        above = known.get(".".join(parts[:n]))
        if above is not None and above.value is None and above.setting.group is not None:
            raise ConfigError(f"{SEARCH}: {path}: must lie in a group that is on, got one that is off. Switch {above.path} on, or leave this out.")
    like = near(path, known, cutoff=0.75) or [p for p in known if p.rpartition(".")[2] == parts[-1]][:3]
    hint = f"Did you mean {listed(like)}?" if like else "`lfads config show` lists all there is."
    raise ConfigError(f"{SEARCH}: {path}: no such setting here. {hint}")


def member_config(base: RunConfig, overrides: Mapping[str, Any], registry: Specs) -> RunConfig:
    """The base settings with a member's hyperparameters, without the search: those of an ordinary run.

    Raises:
        ConfigError: the result breaks rules; one line for each fault, with the path.
    """
    data, ways = laid_on({**unstructure(base), "search": None}, overrides, type(base))
    origins = {tuple(int(part) if part.isdecimal() else part for part in way): SEARCH for way in ways}
    return structure(data, registry, origins=origins)


def laid_on(data: Any, overrides: Mapping[str, Any], schema: type = RunConfig) -> tuple[Any, list[list[str]]]:
    """Plain settings with hyperparameters laid on, and the way to each of them.

    Shorter paths are laid on first, so that a chosen component may be given along with one of its settings.

    Raises:
        ConfigError: a path leads nowhere.
    """
    ways = []
    for path, value in sorted(overrides.items(), key=lambda item: item[0].count(".")):
        ways.append(numbered(data, path.split(".")))
        try:
            data = put(data, ways[-1], value, PlaceShape(schema))
        except ConfigError as err:
            raise ConfigError(f"{SEARCH}: {path}: {err}.") from err
    return data, ways


def faults_of(base: RunConfig, overrides: Mapping[str, Any], registry: Specs) -> str:
    """What is wrong with these hyperparameters, or an empty text."""
    try:
        member_config(base, overrides, registry)
    except ConfigError as err:
        return str(err)
    return ""


def _walk(group: Any, path: tuple[str, ...], own: Types) -> Iterator[Address]:
    cls: type = type(group)
    for name, setting in settings_of(cls, own).items():
        value, here = getattr(group, name), (*path, name)
        yield Address(path=".".join(here), setting=setting, value=value)
        if isinstance(value, Component):
            yield from _walk_component(value, here, own)
        elif is_group(type(value), own):
            yield from _walk(value, here, own)
        elif setting.component and isinstance(value, tuple):
            for label, part in zip(_labels([part.name for part in value]), value, strict=True):
                yield Address(path=".".join((*here, label)), setting=setting, value=part)
                yield from _walk_component(part, (*here, label), own)


def _walk_component(part: Component, path: tuple[str, ...], own: Types) -> Iterator[Address]:
    if part.settings is not None:
        yield from _walk(part.settings, path, own)


def _labels(names: list[str]) -> list[str]:
    times = Counter(names)
    return [name if times[name] == 1 else str(i) for i, name in enumerate(names)]


def _named(data: Any, parts: list[str]) -> Path:
    """The reverse: names for numbers of entries in lists."""
    way = []
    for part in parts:
        if isinstance(data, list):
            names = component_names(data)
            number = int(part) if part.isdecimal() else names.index(part) if part in names else len(data)
            inside = number < len(data)
            way.append(_labels(names)[number] if inside and names[number] else part)
            data = data[number] if inside else None
        else:
            way.append(part)
            data = data.get(part) if isinstance(data, Mapping) else None
    return tuple(way)
