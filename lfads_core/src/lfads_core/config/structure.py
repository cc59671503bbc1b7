"""From plain data to a checked :class:`RunConfig` and back; every fault at once, nothing bent into place.

A converter that stops where a class cannot be built would report wrong types in one round and broken rules in the next. This
walk goes on with the default in place of whatever is wrong, so that one round tells everything.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar, cast

import attrs

from lfads_core.config.faults import Fault, Origins, Path, dotted, origin_of, refuse
from lfads_core.config.groups import run_config_class, without_absent
from lfads_core.config.kinds import Setting, Specs, is_group, members, settings_of, words
from lfads_core.config.places import elsewhere
from lfads_core.config.schema import Component, RunConfig
from lfads_core.config.values import SCALARS, Misfit, scalar
from lfads_core.errors import PluginError
from lfads_core.plugins.specs import ComponentSpec
from lfads_core.wording import listed, near, shown

C = TypeVar("C")

_BAD: Final = object()
"""Stands for a value that has been reported and cannot be used."""

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


def structure(data: Mapping[str, Any], registry: Specs, *, origins: Origins | None = None, earlier: Sequence[Fault] = ()) -> RunConfig:
    """Build a checked :class:`RunConfig` from plain data; what is not given takes its default.

    ``origins`` says where values came from, by path, for the messages. ``earlier`` faults are reported along with new ones.

    Raises:
        ConfigError: one line for each fault: wrong types, unknown keys, broken rules, components that are not installed.
    """
    cls = run_config_class(registry)
    return structure_as(cls, without_absent(data, cls), registry, origins=origins, earlier=earlier)


def structure_as(cls: type[C], data: Mapping[str, Any], registry: Specs, *, origins: Origins | None = None, earlier: Sequence[Fault] = ()) -> C:
    """Build any settings class from plain data, as strictly as :func:`structure`; for the settings of one component, say."""
    walk = _Walk(cls, registry, origins or {})
    config = walk.group(cls, data, (), None)
    refuse([*earlier, *walk.faults])
    return cast("C", config)


def unstructure(value: Any) -> Any:
    """Turn settings into plain data: mappings, lists and scalars that :func:`structure` reads back to an equal object.

    A component becomes ``{"name": ..., **settings}``.
    """
    if isinstance(value, Component):
        return {"name": value.name, **(unstructure(value.settings) if value.settings is not None else {})}
    cls: type = type(value)
    if attrs.has(cls):
        return {name: unstructure(getattr(value, name)) for name in settings_of(cls)}
    if isinstance(value, Mapping):
        return {key: unstructure(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unstructure(item) for item in value]
    return str(value) if isinstance(value, FilePath) else value


def _sentence(err: Exception) -> str:
    """What a validator says; attrs puts more than that into an exception."""
    return " ".join(str(err.args[0] if err.args else repr(err)).split())


class _Walk:
    """One pass over the data; faults gather in ``faults``."""

    def __init__(self, root: type, registry: Specs, origins: Origins) -> None:
        self.root, self.registry, self.origins = root, registry, origins
        self.faults: list[Fault] = []

    def fault(self, path: Path, text: str) -> Any:
        self.faults.append(Fault(path, text, origin_of(path, self.origins)))
        return _BAD

    def value(self, t: Any, value: Any, path: Path, kind: type[ComponentSpec] | None, fallback: Any = None) -> Any:
        """Structure one value of any type; ``fallback`` supplies what a group or component leaves out."""
        options = [member for member in members(t) if member is not type(None)]
        if t is Any or (value is None and type(None) in members(t)):
            return value
        if len(options) == 1:
            return self.single(t, options[0], value, path, kind, fallback)
        for option in options:
            trial = _Walk(self.root, self.registry, self.origins)
            found = trial.value(option, value, path, kind)
            if not trial.faults:
                return found
        return self.misfit(t, value, path, kind)

    def single(self, t: Any, member: Any, value: Any, path: Path, kind: type[ComponentSpec] | None, fallback: Any) -> Any:
        origin = typing.get_origin(member)
        if member is Component and kind:
            return self.component(t, value, path, kind, fallback)
        if is_group(member):
            return self.group(member, value, path, fallback, t)
        if origin in (tuple, list):
            return self.sequence(t, member, value, path, kind)
        if origin is dict:
            return self.table(t, member, value, path, kind)
        if member not in SCALARS and origin is not typing.Literal:
            words(member)  # a type that settings cannot have is the plugin author's to mend
        try:
            return scalar(member, value)
        except Misfit as err:
            return self.misfit(t, value, path, kind, str(err))

    def misfit(self, t: Any, value: Any, path: Path, kind: type[ComponentSpec] | None, must: str = "") -> Any:
        text = f"must be {must or words(t, kind)}, got {shown(value)}"
        if value is False and type(None) in members(t):
            text += ". Off is null"
        if isinstance(value, bool | int | float) and str in members(t):
            text += ". Put it in quotes"
        if value is None and any(is_group(member) for member in members(t)):
            text += ". Leave the key out for its defaults"
        return self.fault(path, text)

    def sequence(self, t: Any, member: Any, value: Any, path: Path, kind: type[ComponentSpec] | None) -> Any:
        if not isinstance(value, list | tuple):
            return self.misfit(t, value, path, kind)
        origin, args = typing.get_origin(member), typing.get_args(member)
        types = [args[0]] * len(value) if origin is list or Ellipsis in args else list(args)
        if len(types) != len(value):
            return self.misfit(t, value, path, kind)
        items = [self.value(item, v, (*path, i), kind) for i, (item, v) in enumerate(zip(types, value, strict=True))]
        if any(item is _BAD for item in items) and Ellipsis not in args and origin is tuple:
            return _BAD
        return origin(item for item in items if item is not _BAD)

    def table(self, t: Any, member: Any, value: Any, path: Path, kind: type[ComponentSpec] | None) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            return self.misfit(t, value, path, kind)
        items = {key: self.value(typing.get_args(member)[1], v, (*path, key), kind) for key, v in value.items()}
        return {key: item for key, item in items.items() if item is not _BAD}

    def component(self, t: Any, value: Any, path: Path, kind: type[ComponentSpec], fallback: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            return self.misfit(t, value, path, kind)
        before = fallback if isinstance(fallback, Component) else None
        name = value.get("name", before.name if before else None)
        if not isinstance(name, str):
            return self.fault(path, f"must say which {kind.kind} by its name, got {shown(dict(value))}")
        try:
            cls = self.registry.get(kind, name).config
        except PluginError as err:
            return self.fault(path, str(err))
        if "name" in settings_of(cls):
            said = f"{kind.kind} {name!r}: no setting may be called 'name', which is the component's own"
            raise PluginError(f"{said}. Rename it in {cls.__qualname__}.")
        settings = before.settings if before and before.name == name else None
        found = self.group(cls, {k: v for k, v in value.items() if k != "name"}, path, settings, owner=f"{kind.kind} {name!r}")
        return _BAD if found is _BAD else Component(name, found)

    def group(self, cls: type, data: Any, path: Path, fallback: Any, t: Any = None, owner: str = "") -> Any:
        """Structure a settings class. With faults inside, the result has defaults in their place."""
        if not isinstance(data, Mapping):
            return self.misfit(t or cls, data, path, None)
        before = len(self.faults)
        fields = settings_of(cls)
        for key in data:
            if key not in fields:
                self.unknown(key, list(fields), path, owner)
        draft: Any = object.__new__(cls)  # rules may look at other fields, so they are run on an instance that no rule has refused yet
        complete, doubtful = True, set[str]()
        for name, setting in fields.items():
            default = getattr(fallback, name) if isinstance(fallback, cls) else setting.default(draft)
            so_far = len(self.faults)
            found = self.field(setting, data, (*path, name), default)
            if len(self.faults) > so_far:
                doubtful.add(name)
            if found is _BAD:
                found = default
            complete = complete and found is not attrs.NOTHING
            object.__setattr__(draft, name, found)
        if not complete:
            return _BAD
        for name, setting in fields.items():
            if name not in doubtful:
                self.check(draft, setting, (*path, name))
        self.cross_check(draft, path, self.faults[before:])
        return draft if len(self.faults) > before else self.made(cls, draft, path)

    def field(self, setting: Setting, data: Mapping[Any, Any], path: Path, default: Any) -> Any:
        if setting.name in data:
            return self.value(setting.type, data[setting.name], path, setting.component, default)
        if default is attrs.NOTHING:
            return self.fault(path, f"must be given: {words(setting.type, setting.component)}")
        # Defaults take the same way: components among them have no settings yet, and a plugin's may be wrong.
        return self.value(setting.type, unstructure(default), path, setting.component, default)

    def check(self, draft: Any, setting: Setting, path: Path) -> None:
        if setting.attribute.validator is not None:
            try:
                setting.attribute.validator(draft, setting.attribute, getattr(draft, setting.name))
            except (ValueError, TypeError) as err:
                self.fault(path, _sentence(err))

    def cross_check(self, draft: Any, path: Path, faults: Sequence[Fault]) -> None:
        """Run the rules across fields, and hold back those that name a field in doubt: they would judge its default."""
        rules = getattr(type(draft), "rules", None)
        doubted = {fault.path[len(path) :] for fault in faults}
        doubted |= {p[:-1] for p in doubted if p and isinstance(p[-1], int)}
        for line in rules(draft) if callable(rules) else ():
            names = [tuple(name.split(".")) for name in _NAME.findall(line)]
            if not any(name[:n] in doubted for name in names for n in range(1, len(name) + 1)):
                where, _, text = line.partition(": ")
                self.fault((*path, *where.split(".")), text)

    def made(self, cls: type, draft: Any, path: Path) -> Any:
        try:
            return cls(**{str(s.attribute.alias): getattr(draft, name) for name, s in settings_of(cls).items()})
        except (ValueError, TypeError) as err:
            return self.fault(path, _sentence(err))

    def unknown(self, key: Any, known: list[str], path: Path, owner: str) -> None:
        known = ["name", *known] if owner else known
        if not isinstance(key, str):
            self.fault((*path, key), f"a setting's name must be a word, got {shown(key)}")
            return
        others = elsewhere(self.root, key)
        if not others:
            others = [dotted((*path, k)) for k in near(key, known)] or elsewhere(self.root, key, cutoff=0.8)
        of = f" of {owner}" if owner else ""
        hint = f"Did you mean {listed(others)}?" if others else f"Known here: {', '.join(known)}"
        self.fault((*path, key), f"no such setting{of}. {hint}")
