"""Hooks that lfads-plugins-lab declares."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from lfads_core.plugins.hookspecs import PROJECT
from lfads_plugins_lab.specs import ForeignSettingsSpec

_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def lfads_foreign_settings() -> Iterable[ForeignSettingsSpec]:
    """Offer settings of other implementations for `lfads config import`.

    Example::

        @hookimpl
        def lfads_foreign_settings():
            yield ForeignSettingsSpec(name="ours-2019", summary="Our old scripts", known="lab_old:known", translate="lab_old:translate")
    """
    yield from ()
