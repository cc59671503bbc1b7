"""What kinds of values settings have: the types a settings class may use, in words, and its fields read once."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, runtime_checkable

import attrs
from attrs import frozen

from lfads_core.config.chosen import Component
from lfads_core.config.fields import Rule
from lfads_core.config.own_types import Types, own_type
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
    """One field of a settings class, with its type resolved; where it chooses components, each is annotated with their record class."""

    name: str
    type: Any
    attribute: attrs.Attribute[Any]
    own: Types = ()  # types that plugins bring, as far as they are known here

    @property
    def component(self) -> type[ComponentSpec] | None:
        """Record class of the plugins among which this setting chooses by name; None for ordinary values."""
        record: type[ComponentSpec] | None = self.attribute.metadata.get("component")
        return record

    @property
    def takes_one(self) -> bool:
        """Whether it chooses a single component, and no list of them."""
        return any(is_component(member) for member in members(self.type))

    @property
    def group(self) -> type | None:
        """The settings class below this one, also where null may turn it off."""
        return next((t for t in members(self.type) if is_group(t, self.own)), None)

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
def settings_of(cls: type, own: Types | None = None) -> Mapping[str, Setting]:
    """The fields of a settings class by name, in order; ``own`` are the types of plugins, by default those that the class carries.

    Raises:
        PluginError: its annotations cannot be resolved.
    """
    try:
        hints = typing.get_type_hints(cls)
    except NameError as err:
        where = f"{cls.__module__}.{cls.__qualname__}"
        raise PluginError(f"{where}: types of settings must be known at run time, got: {err}. Import it for real.") from err
    known = types_in(cls) if own is None else own
    fields = [field for field in attrs.fields(cls) if field.init]
    return {f.name: Setting(f.name, _choosing(hints[f.name], f.metadata.get("component")), f, known) for f in fields}


def types_in(cls: type) -> Types:
    """The types of plugins that a class of settings carries, having been made for a registry."""
    found: Types = getattr(cls, "__own_types__", ())
    return found


def _choosing(t: Any, record: type[Spec] | None) -> Any:
    """``t`` with every Component in it annotated with what it is chosen among."""
    if t is Component and record is not None:
        return Annotated[Component, record]
    args = tuple(_choosing(arg, record) for arg in typing.get_args(t))
    if args == typing.get_args(t):
        return t
    return Union[args] if len(members(t)) > 1 else typing.get_origin(t)[args]  # noqa: UP007


def is_component(t: Any) -> bool:
    """Whether a type is that of a component chosen by name among those of one record class."""
    return typing.get_origin(t) is Annotated and t.__origin__ is Component


def is_group(t: Any, own: Types = ()) -> bool:
    """Whether a type is a settings class: attrs, and neither a component chosen by name nor a plugin's own type."""
    return isinstance(t, type) and attrs.has(t) and t is not Component and own_type(t, own) is None


def members(t: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone."""
    return typing.get_args(t) if typing.get_origin(t) in (Union, types.UnionType) else (t,)


@cache
def words(t: Any, own: Types = ()) -> str:
    """A type as a phrase: ``a whole number or null``, ``a list of 2 numbers``. Raises PluginError if settings cannot have it."""
    return " or ".join(_phrase(member, own) for member in members(t))


def _phrase(t: Any, own: Types) -> str:
    if brought := own_type(t, own):
        return brought.spec.phrase
    if is_group(t, own):
        return "a group of settings"
    if is_component(t):
        return f"the name of {a(t.__metadata__[0].kind)}, with its settings if any"
    if t in _PLAIN:
        return _PLAIN[t][0]
    origin, args = typing.get_origin(t), typing.get_args(t)
    if origin is Literal:
        options = ", ".join(arg if isinstance(arg, str) else shown(arg) for arg in args)
        return options if len(args) == 1 else f"one of {options}"
    if origin is dict:
        return f"a mapping from names to {_many(args[1], own)}"
    if origin is tuple and Ellipsis not in args and len(set(args)) == 1:
        return f"a list of {len(args)} {_many(args[0], own)}"
    if origin is tuple and Ellipsis not in args:
        return "a list of " + ", ".join(words(arg, own) for arg in args)
    if origin in (tuple, list):
        return f"a list of {_many(args[0], own)}"
    raise PluginError(
        f"settings cannot be of type {t!r}. Use bool, int, float, str, Path, Literal, tuples, lists, dict[str, ...], attrs classes, and null for "
        "off, or offer the type in lfads_setting_types."
    )


def _many(t: Any, own: Types) -> str:
    if is_component(t):
        kind = t.__metadata__[0].kind
        return f"{kind}{'es' if kind.endswith('s') else 's'} by name"
    return _PLAIN[t][1] if t in _PLAIN else f"entries, each {words(t, own)}"
