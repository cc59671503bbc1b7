"""What looks like a hook in a plugin and is none, or would never be called."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import pluggy

from lfads_core.errors import PluginError
from lfads_core.plugins.hookspecs import DECLARES, PROJECT
from lfads_core.plugins.offers import HOOKS


def check_names(plugin: object, callers: Iterable[pluggy.HookCaller], names: Sequence[str]) -> None:
    """Refuse what looks like a hook and is none, or would never be called."""
    names = [*names, DECLARES]
    for caller in callers:
        if not caller.has_spec() and not all(impl.optionalhook for impl in caller.get_hookimpls()):
            near = difflib.get_close_matches(caller.name, names, n=1)
            declares = next((dist for dist, hooks in HOOKS.items() if caller.name in hooks), None)
            if declares is not None:
                raise PluginError(f"{caller.name}: is a hook of {declares}, which is not here: pip install {declares}, or mark it optionalhook=True")
            hint = f" Did you mean {near[0]!r}?" if near else f" Hooks: {', '.join(names)}."
            raise PluginError(f"no hook is named {caller.name!r}.{hint}")
    for name in names:
        function = getattr(plugin, name, None)
        if callable(function) and not hasattr(function, f"{PROJECT}_impl"):
            raise PluginError(f"{name}: must be marked with @hookimpl (from lfads_core.plugins), or it is never called")
