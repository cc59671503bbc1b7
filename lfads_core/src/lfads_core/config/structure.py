"""From plain data to a checked :class:`RunConfig` and back; every fault at once, nothing bent into place.

Plain cattrs stops where a class cannot be built, and would report wrong types in one round and broken rules in the next. Here a group goes
on with the default in place of whatever is wrong, so that one round tells everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeVar, cast

import attrs

from lfads_core.config.chosen import Component
from lfads_core.config.converter import Faulty, Found, Unknown, ValueConverter
from lfads_core.config.faults import Origins, Path, SettingsFault, dotted, origin_of, refuse, said
from lfads_core.config.groups import run_config_class, types_of, without_absent
from lfads_core.config.kinds import Setting, Specs, is_component, is_group, settings_of, types_in, words
from lfads_core.config.own_types import Types
from lfads_core.config.places import elsewhere
from lfads_core.config.renamed import as_today, old_names, renamed
from lfads_core.config.schema import RunConfig
from lfads_core.config.values import Misfit
from lfads_core.errors import PluginError
from lfads_core.plugins.specs import ComponentSpec
from lfads_core.wording import listed, near, shown

C = TypeVar("C")

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


def structure(data: Mapping[str, Any], registry: Specs, *, origins: Origins | None = None, earlier: Sequence[SettingsFault] = ()) -> RunConfig:
    """Build a checked :class:`RunConfig` from plain data; what is not given takes its default.

    ``origins`` says where values came from, by path, for the messages. ``earlier`` faults are reported along with new ones.

    Raises:
        ConfigError: one line for each fault: wrong types, unknown keys, broken rules, components that are not installed.
    """
    cls = run_config_class(registry)
    return structure_as(cls, without_absent(as_today(data), cls), registry, origins=origins, earlier=earlier)


def structure_as(
    cls: type[C], data: Mapping[str, Any], registry: Specs, *, origins: Origins | None = None, earlier: Sequence[SettingsFault] = ()
) -> C:
    """Build any settings class from plain data, as strictly as :func:`structure`; for the settings of one component, say."""
    known: Any = registry
    converter = _structuring(types_of(registry), known)
    good, found = converter.structured([("", cls, data)])
    texts = ((path[1:], _near_misses(path[1:], what, cls, converter.own) if isinstance(what, Unknown) else what) for path, what in found)
    refuse([*earlier, *(SettingsFault(path, text, origin_of(path, origins or {})) for path, text in texts)])
    return cast("C", good[""])


def unstructure(value: Any, own: Types | None = None) -> Any:
    """Turn settings into plain data: mappings, lists and scalars that :func:`structure` reads back to an equal object.

    A component becomes ``{"name": ..., **settings}``. ``own`` are the types of plugins in them, by default those that the class of a run's
    settings carries.
    """
    return _unstructuring(types_in(type(value)) if own is None else own).plain(value)


_unstructuring = lru_cache(maxsize=8)(ValueConverter)


@lru_cache(maxsize=8)
def _structuring(own: Types, registry: Specs) -> ValueConverter:
    converter = ValueConverter(own)
    converter.cattrs.register_structure_hook_factory(lambda t: is_group(t, own), partial(_group_hook, converter))
    converter.cattrs.register_structure_hook_func(is_component, partial(_component, converter, registry))
    return converter


def _group_hook(converter: ValueConverter, cls: type) -> Callable[[Any, Any], Any]:
    for setting in settings_of(cls, converter.own).values():
        try:
            words(setting.type, converter.own)
        except PluginError as err:  # a type that settings cannot have is the plugin author's to mend
            raise PluginError(f"{cls.__module__}.{cls.__qualname__}: {setting.name}: {err}") from err
    return partial(_group, converter)


def _group(converter: ValueConverter, data: Any, cls: type) -> Any:
    """Structure a settings class. With faults inside, the draft has defaults in their place."""
    if not isinstance(data, Mapping):
        raise Misfit
    fields, names = settings_of(cls, converter.own), old_names(cls, converter.own)
    data = renamed(data, cls, converter.own)
    found: list[Found] = [
        ((key,), f"is called {names[key]} now, which is given too. Keep one" if key in names else Unknown(tuple(fields)))
        for key in data
        if key not in fields
    ]
    draft: Any = object.__new__(cls)  # rules may look at other fields, so they are run on an instance that no rule has refused yet
    for name, setting in fields.items():
        default = setting.default(draft)
        # Defaults take the same way: components among them have no settings yet, and a plugin's may be wrong.
        value = default if default is attrs.NOTHING else converter.plain(default)
        if name in data:
            value = _laid_on(converter, default, data[name])
        good, wrong = converter.structured([(name, setting.type, value)])
        found += wrong
        object.__setattr__(draft, name, good.get(name, default))
    if any(getattr(draft, name) is attrs.NOTHING for name in fields):
        raise Faulty(found)
    found += _broken_rules(draft, fields, found)
    found += _broken_rules_across(draft, found)
    if found:
        raise Faulty(found, draft)
    try:
        return cls(**{str(setting.attribute.alias): getattr(draft, name) for name, setting in fields.items()})
    except (ValueError, TypeError) as err:
        raise Faulty([((), said(err))]) from err


def _laid_on(converter: ValueConverter, default: Any, given: Any) -> Any:
    """What is given; in plain data too what it leaves out of a default group or component."""
    if isinstance(default, Component):
        given = {"name": given} if isinstance(given, str) else given
        if not isinstance(given, Mapping) or given.get("name", default.name) != default.name:
            return given
        return {"name": default.name, **_laid_on(converter, default.settings, given)}
    if not isinstance(given, Mapping) or not is_group(type(default), converter.own):
        return given
    cls: type = type(default)
    fields = settings_of(cls, converter.own)
    given = renamed(given, cls, converter.own)
    left_out = {name: converter.plain(getattr(default, name)) for name in fields if name not in given}
    return left_out | {key: _laid_on(converter, getattr(default, key), value) if key in fields else value for key, value in given.items()}


def _component(converter: ValueConverter, registry: Specs, value: Any, t: Any) -> Component:
    """Structure a component: the name of one, or its settings with its name among them."""
    kind: type[ComponentSpec] = t.__metadata__[0]
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        raise Misfit
    name = value.get("name")
    if not isinstance(name, str):
        raise Faulty([((), f"must say which {kind.kind} by its name, got {shown(dict(value))}")])
    try:
        cls = registry.get(kind, name).config
    except PluginError as err:
        raise Faulty([((), str(err))]) from err
    if "name" in settings_of(cls, converter.own):
        said = f"{kind.kind} {name!r}: no setting may be called 'name', which is the component's own"
        raise PluginError(f"{said}. Rename it in {cls.__qualname__}.")
    try:
        return Component(name, converter.cattrs.structure({key: item for key, item in value.items() if key != "name"}, cls))
    except Faulty as err:
        owner = f"{kind.kind} {name!r}"
        found = [(path, attrs.evolve(w, owner=owner) if isinstance(w, Unknown) and len(path) == 1 else w) for path, w in err.found]
        raise Faulty(found, attrs.NOTHING if err.draft is attrs.NOTHING else Component(name, err.draft)) from err


def _broken_rules(draft: Any, fields: Mapping[str, Setting], found: Sequence[Found]) -> Iterator[Found]:
    """Run the rules of single fields, but for those in doubt."""
    doubtful = {path[0] for path, _ in found}
    for name, setting in fields.items():
        if name not in doubtful and setting.attribute.validator is not None:
            try:
                setting.attribute.validator(draft, setting.attribute, getattr(draft, name))
            except (ValueError, TypeError) as err:
                yield (name,), said(err)


def _broken_rules_across(draft: Any, found: Sequence[Found]) -> Iterator[Found]:
    """Run the rules across fields, and hold back those that name a field in doubt: they would judge its default."""
    rules = getattr(type(draft), "rules", None)
    doubted = {path for path, _ in found}
    doubted |= {path[:-1] for path in doubted if path and isinstance(path[-1], int)}
    for line in rules(draft) if callable(rules) else ():
        names = [tuple(name.split(".")) for name in _NAME.findall(line)]
        if not any(name[:n] in doubted for name in names for n in range(1, len(name) + 1)):
            where, _, text = line.partition(": ")
            yield tuple(where.split(".")), text


def _near_misses(path: Path, unknown: Unknown, root: type, own: Types) -> str:
    """What to say of a key that is no setting."""
    key = path[-1]
    if not isinstance(key, str):
        return f"a setting's name must be a word, got {shown(key)}"
    known = ["name", *unknown.known] if unknown.owner else list(unknown.known)
    others = elsewhere(root, key, own=own)
    if not others:
        others = [dotted((*path[:-1], k)) for k in near(key, known)] or elsewhere(root, key, cutoff=0.8, own=own)
    of = f" of {unknown.owner}" if unknown.owner else ""
    hint = f"Did you mean {listed(others)}?" if others else f"Known here: {', '.join(known)}"
    return f"no such setting{of}. {hint}"
