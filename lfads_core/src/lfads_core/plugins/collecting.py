"""What a hook gives, called and consumed, so that whatever it raises or gives instead is the plugin's fault."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from lfads_core.errors import PluginError
from lfads_core.plugins.specs import Spec
from lfads_core.wording import one_line


def call(impl: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
    """Call a hook with those of the arguments that it takes."""
    return impl.function(*(arguments[name] for name in impl.argnames))


def collect(impl: pluggy.HookImpl, hook: str, spec: type[Spec]) -> tuple[Spec, ...]:
    """Call one hook and consume what it returns; checked."""
    wanted = f"{hook}: must yield or return a list of {spec.__name__}"
    try:
        result = call(impl, {})
        if inspect.iscoroutine(result):
            result.close()  # nobody waits for it
        if isinstance(result, spec) or not isinstance(result, Iterable):
            raise PluginError(f"{wanted}, got {short(result)}")
        specs = list(result)
    except PluginError:
        raise
    except (Exception, SystemExit) as err:
        raise PluginError(f"{hook}: {one_line(err)}") from err
    given: set[str] = set()
    for item in specs:
        if not isinstance(item, spec):
            raise PluginError(f"{wanted}, got {short(item)} in it")
        if item.name in given:
            raise PluginError(f"{hook}: every name must be offered once, got {item.name!r} twice")
        given.add(item.name)
    return tuple(specs)


def short(value: object) -> str:
    """What something is, in a message."""
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    return f"a {type(value).__name__}"
