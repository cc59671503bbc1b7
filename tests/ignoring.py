"""What every option and setting is called, and a way to have one ignored, as if nobody had given it: a test that guards it must fail then."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from lfads_core.cli.reference import command_contexts
from lfads_core.config import structure as structuring
from lfads_core.config.faults import dotted
from lfads_core.config.groups import run_config_class, types_of
from lfads_core.config.kinds import members
from lfads_core.config.places import SettingPlace, places
from lfads_core.config.schema import RunConfig
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import NoSettings


def option_name(path: str, parameter: click.Parameter) -> str:
    """``lfads run --hold-out``: the command and the longest of the option's names."""
    return f"{path} {max(parameter.opts, key=len)}"


@functools.cache
def options() -> tuple[str, ...]:
    """Every option of every command; ``--help``, which each has, is a matter of its own."""
    return tuple(
        option_name(context.command_path, parameter)
        for context in command_contexts()
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts
    )


@functools.cache
def settings() -> tuple[str, ...]:
    """Every setting of a run by its path, ``optim.lr``, and of every component by kind and name, ``prior autoregressive: tau``."""
    return (*_paths(), *_of_components())


@functools.cache
def _paths() -> Mapping[str, tuple[Any, ...]]:
    """All but groups that are always there, which are headings."""
    found = (place for place in places(run_config_class(Registry.from_installed())) if len(place.path) > 1)
    return {dotted(place.path): place.path for place in found if place.setting.group is None or _may_be_off(place)}


def _may_be_off(place: SettingPlace) -> bool:
    return type(None) in members(place.setting.type)


@functools.cache
def _of_components() -> Mapping[str, tuple[type, tuple[Any, ...]]]:
    registry, found = Registry.from_installed(), {}
    for entry in registry.entries:
        cls = getattr(entry.spec, "config", None)
        if cls is not None and cls is not NoSettings and entry.spec.name not in {"search", "track"}:
            found |= {f"{entry.spec.kind} {entry.spec.name}: {dotted(place.path)}": (cls, place.path) for place in places(cls, types_of(registry))}
    return found


@contextlib.contextmanager
def ignoring(name: str) -> Iterator[None]:
    """Within it nobody can give ``name``, ``*`` for any command: it keeps its default, on command lines and in all settings that are read."""
    with _options_changed(name) if name.startswith("lfads ") else _settings_changed(name):
        yield


@contextlib.contextmanager
def _options_changed(name: str) -> Iterator[None]:
    before = click.Option.consume_value

    def consume(self: click.Option, context: click.Context, given: Mapping[str, Any]) -> Any:
        alike = [option for option in context.command.params if option.name == self.name]  # --check and --remove may be values of one
        said = [option for option in alike if len(alike) == 1 or getattr(option, "flag_value", None) == given.get(self.name)]
        ignored = any(fnmatch.fnmatchcase(called(context, option), name) for option in said)
        return before(self, context, {key: value for key, value in given.items() if not (ignored and key == self.name)})

    with _replaced(click.Option, "consume_value", consume):
        yield


def called(context: click.Context, parameter: click.Parameter) -> str:
    """The name of a parameter in ``options()``, whatever the outermost command was called by."""
    root = context.find_root().info_name or ""
    return option_name("lfads" + context.command_path.removeprefix(root), parameter)


@contextlib.contextmanager
def _settings_changed(name: str) -> Iterator[None]:
    cls, path = place_of(name)
    default = defaults(cls)
    with settings_seen(lambda value: _at_default(value, path, default) if isinstance(value, cls) else value):
        yield


def place_of(name: str) -> tuple[type, tuple[Any, ...]]:
    """The class of settings that a name of ``settings()`` is in, and the way from there."""
    return (RunConfig, _paths()[name]) if name in _paths() else _of_components()[name]


def defaults(cls: type) -> Any:
    """What is structured where nothing is given."""
    registry = Registry.from_installed()
    return structuring.structure({}, registry) if cls is RunConfig else structuring.structure_as(cls, {}, registry)


@contextlib.contextmanager
def settings_seen(by: Callable[[Any], Any]) -> Iterator[None]:
    """Within it every settings object that is structured passes through ``by``."""
    before = structuring._group
    structuring._structuring.cache_clear()
    try:
        with _replaced(structuring, "_group", lambda *given: by(before(*given))):
            yield
    finally:
        structuring._structuring.cache_clear()


def _at_default(value: Any, path: tuple[Any, ...], default: Any) -> Any:
    """``value`` with what is at ``path`` as in ``default``; where a group on the way is off there is nothing to change."""
    changed, inner = copy.copy(value), getattr(default, path[0])
    if len(path) > 1:
        now = getattr(value, path[0])
        inner = now if now is None else _at_default(now, path[1:], defaults(type(now)) if inner is None else inner)
    object.__setattr__(changed, path[0], inner)
    return changed


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
