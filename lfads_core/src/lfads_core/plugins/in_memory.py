"""Plugins that are no package: a module or an object with hooks, a record, or the class of a component, as a notebook has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import attrs

from lfads_core.errors import PluginError
from lfads_core.plugins.hooks import Hook
from lfads_core.plugins.hookspecs import PROJECT, hookimpl
from lfads_core.plugins.loading import Installed, Plugin, Provider, inspect_plugin
from lfads_core.plugins.record import ComponentSpec, Imported, NoSettings, Spec
from lfads_core.plugins.specs import AugmentationSpec


def installed_with(installed: Installed, given: Sequence[object]) -> Installed:
    """What is installed, and these beside it.

    Raises:
        PluginError: one of them is no plugin, or a plugin with a fault.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise PluginError(f"plugins: must be a list, such as [MyPrior], got {getattr(given, '__name__', type(given).__name__)}.")
    return attrs.evolve(installed, plugins=(*installed.plugins, *(_inspected(one, installed.hooks) for one in given)))


def _inspected(given: object, hooks: Sequence[Hook]) -> Plugin:
    name = getattr(given, "__name__", None) or getattr(given, "name", None) or type(given).__name__
    provider = Provider(getattr(given, "__module__", None) or "plugins=[...]", "in memory", str(name))
    try:
        return inspect_plugin(_with_hooks(given, hooks), provider, hooks)
    except PluginError as err:
        raise PluginError(f"plugins=[{name}]: {err}") from err


def _with_hooks(given: object, hooks: Sequence[Hook]) -> object:
    """Something whose attributes are hooks."""
    spec = given if isinstance(given, Spec) else _spec_of(given, hooks) if isinstance(given, type) else None
    if spec is not None:
        hook = next((hook for hook in hooks if hook.record is type(spec)), None)
        if hook is None:
            raise PluginError(f"must be a record that a hook offers, got a {type(spec).__name__}")
        return SimpleNamespace(**{hook.name: hookimpl(lambda: [spec])})
    if not any(hasattr(inspect.getattr_static(given, name, None), f"{PROJECT}_impl") for name in dir(given)):
        raise PluginError("must be a module or object with hooks (@hookimpl), a record such as a PriorSpec, or a component's class, got none of them")
    return given


def _spec_of(cls: type, hooks: Sequence[Hook]) -> ComponentSpec | None:
    """The record of a component's class: named after it, its settings those of its class ``Settings`` if it has one."""
    kinds = [hook.record for hook in hooks if hook.record is not None and issubclass(hook.record, ComponentSpec) and hook.record.contract]
    record: Any = next((kind for kind in kinds if issubclass(cls, Imported(kind.contract).load())), None)
    if record is None:
        return None
    sizes = 0 if record is AugmentationSpec else 1
    slug = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", "-", cls.__name__).lower().strip("-")
    summary = (inspect.getdoc(cls) or cls.__name__).splitlines()[0]
    made: ComponentSpec = record(name=slug, summary=summary, config=getattr(cls, "Settings", NoSettings), build=_builder(cls, sizes))
    return made


def _builder(cls: type, sizes: int) -> Callable[..., Any]:
    """The class called with nothing, with what its kind is built from, or with its settings before that, as its signature says.

    Raises:
        PluginError: it needs something else.
    """
    parameters = inspect.signature(cls).parameters.values()
    needs = len([p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])
    if needs == 0:
        return lambda *_: cls()
    if needs == sizes:
        return lambda _, *context: cls(*context)
    if needs == sizes + 1:
        return cls
    what = "its settings and one size" if sizes else "its settings"
    raise PluginError(f"{cls.__name__}: must be made of {what} at most, got a class that takes {needs} values. Give a record with a 'build' instead.")
