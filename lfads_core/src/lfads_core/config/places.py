"""Where settings live: every path of a settings class, and the slots that components of a kind can take."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Any

from attrs import frozen

from lfads_core.config.faults import Path, dotted
from lfads_core.config.kinds import Setting, settings_of
from lfads_core.config.own_types import Types
from lfads_core.config.schema import RunConfig
from lfads_core.plugins.specs import Spec


@frozen
class SettingPlace:
    """One setting or group, and the way to it."""

    path: Path
    setting: Setting


@cache
def places(cls: type[Any] = RunConfig, own: Types | None = None) -> tuple[SettingPlace, ...]:
    """Every setting and group of a settings class, in order; groups that null may turn off are entered too.

    ``own`` are the types of plugins, by default those that the class carries.
    """
    return tuple(_walk(cls, (), own))


def _walk(cls: type, path: Path, own: Types | None) -> Iterator[SettingPlace]:
    for name, setting in settings_of(cls, own).items():
        yield SettingPlace((*path, name), setting)
        if setting.group:
            yield from _walk(setting.group, (*path, name), setting.own)


def elsewhere(cls: type, key: str, cutoff: float = 1.0, own: Types | None = None) -> list[str]:
    """Dotted paths whose last part is ``key``, or looks like it from a similarity of ``cutoff`` on; at most three."""
    by_name: dict[str, list[str]] = {}
    for place in places(cls, own):
        by_name.setdefault(str(place.path[-1]), []).append(dotted(place.path))
    found = [path for name in difflib.get_close_matches(key, by_name, n=3, cutoff=cutoff) for path in by_name[name]]
    return found[:3]


def slots(record: type[Spec]) -> list[SettingPlace]:
    """The settings that choose a component of this kind."""
    return [place for place in places() if place.setting.component is record]


def is_list(place: SettingPlace) -> bool:
    """Whether a slot takes any number of components."""
    return not place.setting.takes_one
