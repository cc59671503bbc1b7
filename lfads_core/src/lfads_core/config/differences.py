"""How settings differ from the defaults, in one form whatever way they were written, and the hash of that form.

A setting that is added later, with a default, changes no form and no hash; neither does writing a default out, ``1e-3`` for
``0.001``, or naming the component that would be taken anyway.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from lfads_core.config.chosen import Component
from lfads_core.config.groups import run_config_class
from lfads_core.config.kinds import Specs, is_group, settings_of, types_in
from lfads_core.config.own_types import Types, own_type
from lfads_core.config.places import places
from lfads_core.config.schema import RunConfig
from lfads_core.config.spaces import ELSEWHERE
from lfads_core.config.structure import unstructure

_HEX = 16


def differences(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults, as plain data in groups.

    Left out is what says where a run is computed and recorded, not what is computed (``ELSEWHERE``): two runs that differ only
    there are the same.

    A component is given by its name and what differs from its own defaults; a list that differs at all is given whole; a group
    that null would turn off, and does not, is there even if it is empty.
    """
    found: dict[str, Any] = _form(config, types_in(type(config)))
    for path in _elsewhere(type(config)):
        found = _without(found, path)
    return found


def is_elsewhere(path: str, registry: Specs) -> bool:
    """Whether a setting, or a group it is in, says only where a run is computed or recorded."""
    way = tuple(path.split("."))
    return any(way[: len(found)] == found for found in _elsewhere(run_config_class(registry)))


def _elsewhere(cls: type) -> list[tuple[str, ...]]:
    return [tuple(map(str, place.path)) for place in places(cls) if place.setting.attribute.metadata.get("search") == ELSEWHERE]


def settings_hash(form: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of plain data, written as JSON with sorted keys and no spaces."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_HEX]


def _form(value: Any, own: Types) -> Any:
    if isinstance(value, Component):
        return {"name": value.name, **({} if value.settings is None else _form(value.settings, own))}
    cls: type = type(value)
    if is_group(cls, own):
        pairs = ((name, _form(getattr(value, name), own), setting.default(value)) for name, setting in settings_of(cls, own).items())
        return {name: form for name, form, default in pairs if default is attrs.NOTHING or not _same(form, _form(default, own))}
    if isinstance(value, Mapping) and own_type(cls, own) is None:
        return {key: _form(item, own) for key, item in value.items()}
    if isinstance(value, list | tuple) and own_type(cls, own) is None:
        return [_form(item, own) for item in value]
    return unstructure(value, own)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)  # tells 1 from true, which == does not


def _without(form: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """``form`` without what stands at ``path``; a group that this empties goes too."""
    key, rest = path[0], path[1:]
    if key not in form:
        return dict(form)
    below = _without(form[key], rest) if rest else {}
    return {k: below if k == key else v for k, v in form.items() if k != key or below}
