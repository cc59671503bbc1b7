"""What kinds of values settings have: the types a settings class may use, in words, and its fields read once."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, Union, runtime_checkable

import attrs
from attrs import frozen

from lfads_core.config.fields import Rule
from lfads_core.config.schema import Component
from lfads_core.errors import PluginError
from lfads_core.plugins.specs import ComponentSpec, Spec
from lfads_core.wording import a, shown

_PLAIN: Mapping[Any, tuple[str, str]] = {
    bool: ("true or false", "switches (true or false)"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    Component: ("a component", "components"),
    type(None): ("null", "nulls"),
    Any: ("anything", "values"),
}


S = TypeVar("S", bound=Spec)


@runtime_checkable
class Specs(Protocol):
    """What configuration needs of the plugin registry."""

    def get(self, record: type[S], name: str) -> S:
        """The record of one component; a PluginError lists near misses and what is installed."""

    def find(self, name: str) -> Sequence[Spec]:
        """Every record of that name."""

    def as_offered(self, record: type[S]) -> Sequence[tuple[S, Any]]:
        """Every record of one kind, each with who offers it."""


@frozen
class Setting:
    """One field of a settings class, with its type resolved."""

    name: str
    type: Any
    attribute: attrs.Attribute[Any]

    @property
    def component(self) -> type[ComponentSpec] | None:
        """Record class of the plugins among which this setting chooses by name; None for ordinary values."""
        record: type[ComponentSpec] | None = self.attribute.metadata.get("component")
        return record

    @property
    def group(self) -> type | None:
        """The settings class below this one, also where null may turn it off."""
        return next((t for t in members(self.type) if is_group(t)), None)

    def default(self, siblings: Any = None) -> Any:
        """The default value, freshly made; ``attrs.NOTHING`` where one must be given."""
        default: Any = self.attribute.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # typed as a function in attrs' stubs
            return default.factory(siblings) if default.takes_self else default.factory()
        return default

    def rule(self) -> str:
        """The condition on the value, in words; empty if there is none."""
        validator = self.attribute.validator
        each = getattr(validator, "_validators", (validator,)) if validator else ()  # attrs keeps a list of them in one
        return " and ".join(v.text if isinstance(v, Rule) else repr(v).strip("<>").removeprefix("Validator for ").removeprefix("x ") for v in each)


@cache
def settings_of(cls: type) -> Mapping[str, Setting]:
    """The fields of a settings class by name, in order. Raises PluginError if its annotations cannot be resolved."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError as err:
        where = f"{cls.__module__}.{cls.__qualname__}"
        raise PluginError(f"{where}: types of settings must be known at run time, got: {err}. Import it for real.") from err
    return {field.name: Setting(field.name, hints[field.name], field) for field in attrs.fields(cls) if field.init}


def is_group(t: Any) -> bool:
    """Whether a type is a settings class: attrs, and not a component chosen by name."""
    return isinstance(t, type) and attrs.has(t) and t is not Component


def members(t: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone."""
    return typing.get_args(t) if typing.get_origin(t) in (Union, types.UnionType) else (t,)


def words(t: Any, component: type[Spec] | None = None) -> str:
    """A type as a phrase: ``a whole number or null``, ``a list of 2 numbers``."""
    return " or ".join(_phrase(member, component) for member in members(t))


def _phrase(t: Any, component: type[Spec] | None) -> str:
    if is_group(t):
        return "a group of settings"
    if t is Component and component:
        return f"the name of {a(component.kind)}, with its settings if any"
    if t in _PLAIN:
        return _PLAIN[t][0]
    origin, args = typing.get_origin(t), typing.get_args(t)
    if origin is Literal:
        return "one of " + ", ".join(arg if isinstance(arg, str) else shown(arg) for arg in args)
    if origin is dict:
        return f"a mapping from names to {_many(args[1], component)}"
    if origin is tuple and Ellipsis not in args and len(set(args)) == 1:
        return f"a list of {len(args)} {_many(args[0], component)}"
    if origin is tuple and Ellipsis not in args:
        return "a list of " + ", ".join(words(arg, component) for arg in args)
    if origin in (tuple, list):
        return f"a list of {_many(args[0], component)}"
    raise PluginError(
        f"settings cannot be of type {t!r}. Use bool, int, float, str, Path, Literal, tuples, lists, dict[str, ...], attrs classes, and null for off."
    )


def _many(t: Any, component: type[Spec] | None) -> str:
    if t is Component and component:
        return f"{component.kind}s by name"
    return _PLAIN[t][1] if t in _PLAIN else f"entries, each {words(t, component)}"
