"""The settings of a run as they are here: core's own, and the groups that installed plugins bring."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from lfads_core.config.fields import setting
from lfads_core.config.kinds import Specs, settings_of, words
from lfads_core.config.own_types import OwnType, Types
from lfads_core.config.schema import RunConfig
from lfads_core.config.spaces import ELSEWHERE
from lfads_core.errors import PluginError
from lfads_core.plugins.offers import offered
from lfads_core.plugins.specs import SettingsSpec, SettingTypeSpec

log = logging.getLogger(__name__)


def run_config_class(registry: Specs) -> type[RunConfig]:
    """:class:`RunConfig` with a field for each group of ``lfads_settings``; the same class for the same groups and own types.

    Raises:
        PluginError: two groups have one name, one is called like a group of core, or two plugins bring the same type.
    """
    groups = tuple((registry.get(SettingsSpec, spec.name), str(provider)) for spec, provider in registry.as_offered(SettingsSpec))
    return _with_groups(groups, types_of(registry))


def types_of(registry: Specs) -> Types:
    """The types that plugins bring for settings.

    Raises:
        PluginError: two plugins bring the same one.
    """
    by_class: dict[type, OwnType] = {}
    for own in (OwnType(spec, provider) for spec, provider in registry.as_offered(SettingTypeSpec)):
        other = by_class.setdefault(own.spec.cls, own)
        if other is not own:
            raise PluginError(
                f"the type {own.spec.cls.__name__} of settings must come from one plugin, got {other.provider} and {own.provider}. Uninstall one."
            )
    return tuple(by_class.values())


@functools.cache
def _with_groups(offers: tuple[tuple[SettingsSpec, str], ...], own: Types) -> type[RunConfig]:
    if not offers and not own:
        return RunConfig
    core = [field.name for field in RunConfig.__attrs_attrs__]
    groups = [spec for spec, _ in offers]
    for spec, provider in offers:
        whose = f"{provider}: the settings {spec.name!r}"
        if spec.name in core:
            raise PluginError(f"{whose} must not be called like a group of core ({', '.join(core)}). Give the group another name.")
        try:
            for one in settings_of(spec.config, own).values():
                words(one.type, own)
        except PluginError as err:
            raise PluginError(f"{whose} cannot be read: {err}") from err
    body: dict[str, Any] = {"__module__": RunConfig.__module__, "__qualname__": RunConfig.__qualname__, "__doc__": RunConfig.__doc__}
    body["__own_types__"] = own
    body["__annotations__"] = {spec.name: spec.config | None if spec.optional else spec.config for spec in groups}
    for spec in groups:
        body[spec.name] = setting(None if spec.optional else spec.config, spec.summary, search=None if spec.changes_results else ELSEWHERE)
    made: type[RunConfig] = frozen(kw_only=True)(type(RunConfig.__name__, (RunConfig,), body))
    return made


def without_absent(data: Mapping[str, Any], cls: type[RunConfig]) -> dict[str, Any]:
    """``data`` without the groups that a distribution of this project reads which is not loaded; what is left out is logged once."""
    brought = dict(offered(["settings"]))
    known = {field.name for field in cls.__attrs_attrs__}
    gone = [name for name in data if name in brought and name not in known]
    for name in gone:
        _say_once(name, brought[name])
    return {name: value for name, value in data.items() if name not in gone}


@functools.cache
def _say_once(name: str, distribution: str) -> None:
    log.info("settings '%s': left out, for %s, which reads them, is not loaded", name, distribution)
