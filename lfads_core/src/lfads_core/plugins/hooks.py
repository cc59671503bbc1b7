"""Hooks, found in the modules that declare them: those that offer records of a kind, and those that are told something."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

from attrs import frozen

from lfads_core.errors import PluginError
from lfads_core.plugins import hookspecs, model_hookspecs, notifications
from lfads_core.plugins.hookspecs import DECLARES, PROJECT
from lfads_core.plugins.specs import Spec


@frozen
class Hook:
    """One hook spec."""

    name: str
    record: type[Spec] | None  # the class of what it offers; None for a notification
    module: ModuleType  # where it is declared


def hooks_in(module: ModuleType) -> Iterator[Hook]:
    """Every hook that a module declares, in its order. ``lfads_hooks`` itself is none of them.

    Raises:
        PluginError: a hook returns neither None nor an Iterable of records.
    """
    for name, function in vars(module).items():
        if inspect.isfunction(function) and hasattr(function, f"{PROJECT}_spec") and name != DECLARES:
            yield Hook(name, _record(function, module), module)


def _record(function: Any, module: ModuleType) -> type[Spec] | None:
    written = function.__annotations__.get("return")
    try:
        found = typing.get_type_hints(SimpleNamespace(__annotations__={"return": written}), vars(module)).get("return")
    except NameError as err:
        raise PluginError(f"{module.__name__}.{function.__name__}: what it returns must be imported at run time, got: {err}") from err
    if found is type(None):
        return None
    (record,) = typing.get_args(found) or (None,)
    if typing.get_origin(found) is not Iterable or not (isinstance(record, type) and issubclass(record, Spec) and hasattr(record, "kind")):
        raise PluginError(
            f"{module.__name__}.{function.__name__}: must return Iterable[a subclass of Spec with a 'kind'], or None if it is only told something, "
            f"got {written!r}"
        )
    return record


CORE_HOOKS: tuple[Hook, ...] = (*hooks_in(model_hookspecs), *hooks_in(hookspecs), *hooks_in(notifications))
"""Those of core; plugins add theirs through ``lfads_hooks``."""
