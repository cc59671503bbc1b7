"""The laws of the components that a run is made of, before it begins: what a first batch cannot show is told."""

from __future__ import annotations

import logging
from textwrap import shorten
from typing import Any

from lfads_core.config.chosen import Component
from lfads_core.config.schema import RunConfig
from lfads_core.config.trained import components_in
from lfads_core.errors import PluginError
from lfads_core.plugins.loading import OURS
from lfads_core.plugins.registry import Registry
from lfads_core.train.interrupt import StopWish, stop_wish
from lfads_core.trial.calls import ONE_AT_A_TIME, listening
from lfads_core.world import put_back, world

_LONGEST = 250
log = logging.getLogger(__name__)


def tell_broken_laws(config: RunConfig, registry: Registry) -> None:
    """Warn of each chosen component of a stranger's that breaks a law of its kind, with its settings.

    Components of this project are left out, which its tests hold to their laws, and so is what a component refuses or trips over: the sizes
    with which laws are tried may not be its own.
    """
    for record, component in {(record, component.name): (record, component) for record, component in components_in(config)}.values():
        owner = registry.owner(record, component.name)
        if owner.distribution not in OURS and (text := _broken(record, component, registry)):
            log.warning("%s: the %s %r %s. `lfads plugins check %s` tells more.", owner, record.kind, component.name, text, component.name)


def _broken(record: Any, component: Component, registry: Registry) -> str:
    from lfads_core.testing.kit import Given, try_laws  # which no run of this project's own components needs

    before, wish = world(), StopWish()
    try:
        with ONE_AT_A_TIME, listening(), stop_wish(wish):
            found = try_laws(registry.get(record, component.name), Given(settings=component.settings, registry=registry))
    except (KeyboardInterrupt, PluginError):
        if wish.asked:
            raise
        return ""  # it raises an interrupt of its own, which is told when it does so in the run
    finally:
        put_back(before)
    if wish.asked:
        raise KeyboardInterrupt
    broken = [(finding.law, fault) for finding in found for fault in finding.faults[:1] if not fault.startswith("raised ")]
    if not broken:
        return ""
    (law, fault), others = broken[0], len(broken) - 1
    more = f", and breaks {others} more law{'s' * (others > 1)}" if others else ""
    return f"breaks a law of its kind, '{law}': {shorten(fault, _LONGEST, placeholder=' [...]')}{more}"
