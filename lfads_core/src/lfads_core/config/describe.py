"""Components as plain data: what ``lfads plugins`` prints, and the YAML a user pastes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import frozen

from lfads_core.config.groups import types_of
from lfads_core.config.kinds import is_group
from lfads_core.config.own_types import Types
from lfads_core.config.structure import unstructure
from lfads_core.plugins.citations import citation_key
from lfads_core.plugins.registry import Registered, Registry
from lfads_core.plugins.specs import AlignmentSpec, ComponentSpec, RecipeSpec, Spec

REQUIRED = "(required)"
"""Stands where a setting has no default."""


@frozen(kw_only=True)
class SettingRow:
    """One setting of a component, in words."""

    path: str
    default: Any
    rule: str
    unit: str
    meaning: str
    tune: str


def describe_settings(config: type, own: Types, prefix: str = "") -> Iterator[SettingRow]:
    """Every setting of an attrs class, groups flattened to dotted paths. Classes without our metadata show what they have."""
    for field in attrs.fields(config):
        default = _default(field)
        path = prefix + field.name
        if is_group(type(default), own):
            yield from describe_settings(type(default), own, f"{path}.")
            continue
        notes = field.metadata
        words = {key: notes.get(key, "") for key in ("unit", "meaning", "tune")}
        yield SettingRow(path=path, default=unstructure(default, own), rule=_rule(field), **words)


def describe_entry(entry: Registered, own: Types) -> dict[str, Any]:
    """Return one component as JSON-ready data."""
    spec = entry.spec
    return {
        "kind": entry.kind,
        "name": spec.name,
        "summary": spec.summary,
        **attrs.asdict(entry.provider),
        "cites": [citation_key(cite) for cite in getattr(spec, "cites", ())],
        "settings": [attrs.asdict(row) for row in describe_settings(getattr(spec, "config", _Nothing), own)],
    }


def describe_registry(registry: Registry) -> dict[str, Any]:
    """Return everything that is installed, broken or in conflict as JSON-ready data."""
    return {
        "components": [describe_entry(entry, types_of(registry)) for entry in registry.entries],
        "plugins": [{**attrs.asdict(p.provider), "notifications": sorted(p.listeners)} for p in registry.plugins],
        "left_out": [attrs.asdict(provider) for provider in registry.left_out],
        "faults": [{**attrs.asdict(fault.provider), "reason": fault.reason} for fault in registry.faults],
        "clashes": [{**attrs.asdict(clash), "message": str(clash)} for clash in registry.clashes],
    }


def usage(spec: Spec, own: Types) -> str:
    """How one uses this entry: the YAML of a settings file, or a command."""
    if isinstance(spec, RecipeSpec):
        return f"# lfads run DATA --plugin {spec.name}   stands for\n{_yaml(spec.settings)}"
    if isinstance(spec, AlignmentSpec):
        return f"# {spec.usage()}   with the settings\n{_component_yaml(spec, own)}"
    return _component_yaml(spec, own) if isinstance(spec, ComponentSpec) else spec.usage()


def _component_yaml(spec: ComponentSpec, own: Types) -> str:
    """Every place in ``components`` that takes this kind, with the component's defaults."""
    from lfads_core.config.chosen import ComponentsConfig

    chosen = {"name": spec.name, **_nested(spec.config, own)}
    places = [field for field in attrs.fields(ComponentsConfig) if field.metadata.get("component") is type(spec)]
    return _yaml({"components": {place.name: [chosen] if isinstance(_default(place), tuple) else chosen for place in places}})


def _nested(config: type, own: Types) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in attrs.fields(config):
        default = _default(field)
        values[field.name] = _nested(type(default), own) if is_group(type(default), own) else unstructure(default, own)
    return values


def _rule(field: attrs.Attribute[Any]) -> str:
    rule = field.metadata.get("rule")
    if rule is not None:
        return str(rule.text)
    return "" if field.metadata or field.validator is None else repr(field.validator).strip("<>").removeprefix("Validator for ")


def _default(field: attrs.Attribute[Any]) -> Any:
    factory: Any = field.default
    if isinstance(factory, attrs.Factory):  # type: ignore[arg-type]  # a class at run time, a function for type checkers
        return "(computed)" if factory.takes_self else factory.factory()
    return REQUIRED if field.default is attrs.NOTHING else field.default


def _yaml(data: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes each list out, because an alias (&id001) is no help to the reader."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump(_plain(data), Dumper=Dumper, sort_keys=False)).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@frozen
class _Nothing:
    """For records without settings."""
