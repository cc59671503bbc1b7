"""Settings that had another name or place once: ``setting(..., was="old_name")`` is read under both names, and written under the new one."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from lfads_core.config.kinds import is_group, settings_of
from lfads_core.config.own_types import Types
from lfads_core.errors import PluginError

log = logging.getLogger(__name__)


def old_names(cls: type, own: Types) -> Mapping[str, str]:
    """Old names of a class's settings, and what each is called now.

    Raises:
        PluginError: an old name is that of a setting that there is.
    """
    fields = settings_of(cls, own)
    found = {str(was): name for name, setting in fields.items() if (was := setting.attribute.metadata.get("was"))}
    for was, name in found.items():
        if was in fields:
            raise PluginError(
                f"{cls.__module__}.{cls.__qualname__}: {name} must have been called otherwise than a setting that there is, got was={was!r}"
            )
    return found


def renamed(data: Mapping[Any, Any], cls: type, own: Types) -> Mapping[Any, Any]:
    """Plain data of one settings class with new names in place of old ones; where both are given, both stay, to be refused."""
    names = old_names(cls, own)
    moved = {key: names[key] for key in data if key in names and names[key] not in data}
    for old, new in moved.items():
        _say_once(cls.__name__, old, new)
    return {moved.get(key, key): value for key, value in data.items()} if moved else data


def renamed_within(data: Any, cls: type, own: Types) -> Any:
    """The same for a class and the groups in it, before data from several places are laid on one another."""
    if not isinstance(data, Mapping):
        return data
    fields = settings_of(cls, own)
    new = renamed(data, cls, own)
    return {
        key: renamed_within(value, group, own) if key in fields and (group := fields[key].group) is not None and is_group(group, own) else value
        for key, value in new.items()
    }


def renamed_way(way: list[str], cls: type, own: Types) -> list[str]:
    """The same for the path to one setting, as far as it leads through groups."""
    if not way:
        return way
    fields = settings_of(cls, own)
    first = old_names(cls, own).get(way[0], way[0]) if way[0] not in fields else way[0]
    if first != way[0]:
        _say_once(cls.__name__, way[0], first)
    group = fields[first].group if first in fields else None
    return [first, *(renamed_way(way[1:], group, own) if group is not None else way[1:])]


@functools.cache
def _say_once(where: str, old: str, new: str) -> None:
    log.warning("settings: %s of %s is called %s now, and is read under both names. Write the new one.", old, where, new)


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
    _say_moved()
    losses = [*(components.get("losses") or ()), {"name": "input-correlation", "scale": scale, **rest.get("kl_ramp", {})}]
    return {**moved, "components": {**components, "losses": losses}}


@functools.cache
def _say_moved() -> None:
    log.info("regularisation.input_correlation is today the loss 'input-correlation' (components.losses), and is read as that")
