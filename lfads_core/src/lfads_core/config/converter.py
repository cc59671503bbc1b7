"""Values of every type that settings may have, to and from plain data: a cattrs converter with strict hooks.

A hook raises :class:`Misfit` for a value of another type, and :class:`Faulty` for one with faults inside, which brings all of them at
once. The hooks of groups and components are in :mod:`lfads_core.config.structure`.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs
from attrs import frozen
from cattrs import Converter

from lfads_core.config.chosen import Component
from lfads_core.config.faults import Path
from lfads_core.config.kinds import is_group, members, settings_of, words
from lfads_core.config.own_types import OwnType, Types, base
from lfads_core.config.values import SCALARS, Misfit, literal
from lfads_core.wording import shown


@frozen
class Unknown:
    """A key that is no setting; which others come near is said when its whole path is known."""

    known: tuple[str, ...]
    owner: str = ""  # the component whose settings these are


Found = tuple[Path, str | Unknown]
"""One fault: the way to it from the value that was structured, and what it is."""


class Faulty(Exception):  # noqa: N818 - carries faults; never leaves this package
    """Everything that is wrong inside a value; ``draft`` stands for the value where rules across fields look at it."""

    def __init__(self, found: Iterable[Found], draft: Any = attrs.NOTHING) -> None:
        super().__init__()
        self.found, self.draft = list(found), draft


class ValueConverter:
    """Strict structuring and unstructuring of everything but groups and components; ``own`` are the types that plugins bring."""

    def __init__(self, own: Types = ()) -> None:
        self.own = own
        self.cattrs = Converter(unstruct_collection_overrides={tuple: list})
        hooks = self.cattrs
        hooks.register_structure_hook_func(lambda _: True, _misfit)
        hooks.register_structure_hook_func(lambda t: t is Any, lambda value, _: value)
        hooks.register_structure_hook_func(lambda t: base(t) is Literal, literal)
        hooks.register_structure_hook_func(lambda t: base(t) in (tuple, list), self._sequence)
        hooks.register_structure_hook_func(lambda t: base(t) is dict, self._table)
        hooks.register_structure_hook_func(lambda t: t is type(None) or len(members(t)) > 1, self._union)
        for scalar, hook in SCALARS.items():
            hooks.register_structure_hook(scalar, hook)
        hooks.register_unstructure_hook_func(lambda t: is_group(t, own), self._plain_group)
        hooks.register_unstructure_hook_func(lambda t: t is Component, self._plain_component)
        for brought in own:
            _register(hooks, brought)

    def structured(self, items: Iterable[tuple[str | int, Any, Any]]) -> tuple[dict[str | int, Any], list[Found]]:
        """Structure values, each with its key and type: what they become, by key, and every fault. For one with faults its draft stands, if any."""
        good: dict[str | int, Any] = {}
        found: list[Found] = []
        for key, t, value in items:
            if value is attrs.NOTHING:
                found.append(((key,), f"must be given: {words(t, self.own)}"))
                continue
            try:
                good[key] = self.cattrs.structure(value, t)
            except Misfit as err:
                found.append(((key,), self._sentence(t, value, err)))
            except Faulty as err:
                found += [((key, *path), what) for path, what in err.found]
                if err.draft is not attrs.NOTHING:
                    good[key] = err.draft
        return good, found

    def plain(self, value: Any) -> Any:
        """Mappings, lists and scalars that structuring reads back to an equal value."""
        return self.cattrs.unstructure(value)

    def _sentence(self, t: Any, value: Any, misfit: Misfit) -> str:
        text = f"must be {misfit.must or words(t, self.own)}, got {shown(value)}"
        if misfit.because:
            text += f": {misfit.because}"
        if value is False and type(None) in members(t):
            text += ". Off is null"
        if isinstance(value, bool | int | float) and str in members(t):
            text += ". Put it in quotes"
        if value is None and any(is_group(member, self.own) for member in members(t)):
            text += ". Leave the key out for its defaults"
        return text

    def _union(self, value: Any, t: Any) -> Any:
        options = [member for member in members(t) if member is not type(None)]
        if value is None and type(None) in members(t):
            return None
        if len(options) == 1:
            return self.cattrs.structure(value, options[0])
        for option in options:
            try:
                return self.cattrs.structure(value, option)
            except (Misfit, Faulty):
                continue
        raise Misfit

    def _sequence(self, value: Any, t: Any) -> Any:
        origin, args = base(t), typing.get_args(t)
        if not isinstance(value, list | tuple):
            raise Misfit
        any_length = origin is list or Ellipsis in args
        types = [args[0]] * len(value) if any_length else list(args)
        if len(types) != len(value):
            raise Misfit
        good, found = self.structured((i, item, v) for i, (item, v) in enumerate(zip(types, value, strict=True)))
        whole = any_length or len(good) == len(types)
        return _unless(found, origin(good.values()) if whole else attrs.NOTHING)

    def _table(self, value: Any, t: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Misfit
        good, found = self.structured((key, typing.get_args(t)[1], item) for key, item in value.items())
        return _unless(found, good)

    def _plain_group(self, value: Any) -> dict[str, Any]:
        cls: type = type(value)
        return {name: self.plain(getattr(value, name)) for name in settings_of(cls, self.own)}

    def _plain_component(self, value: Component) -> dict[str, Any]:
        return {"name": value.name, **(self.plain(value.settings) if value.settings is not None else {})}


def _register(hooks: Converter, brought: OwnType) -> None:
    cls = brought.spec.cls
    hooks.register_structure_hook_func(lambda t: base(t) is cls, brought.structured)
    hooks.register_unstructure_hook_func(lambda t: t is cls, brought.unstructured)
    if not attrs.has(cls):  # by class too, because cattrs asks for classes first, and an IntEnum is an int
        hooks.register_structure_hook(cls, brought.structured)
        hooks.register_unstructure_hook(cls, brought.unstructured)


def _misfit(_value: Any, _type: Any) -> Any:
    raise Misfit


def _unless(found: list[Found], result: Any) -> Any:
    """The result; with faults it becomes their draft."""
    if found:
        raise Faulty(found, result)
    return result
