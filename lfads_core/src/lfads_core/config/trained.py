"""Settings of a run whose plugins may be gone: by whom it was trained is kept with it, so that one can say what is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from lfads_core.config.chosen import Component
from lfads_core.config.kinds import settings_of, types_in
from lfads_core.config.load import resolve_saved
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import Layer, read_yaml
from lfads_core.errors import ConfigError, PluginError
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import SettingsSpec
from lfads_core.runs import Provided, Run

log = logging.getLogger(__name__)


def trained_by(config: RunConfig, registry: Registry) -> list[Provided]:
    """Who provides each component that the settings choose, and each group of settings; for ``run.json``."""
    found: list[Provided] = [
        {"kind": spec.kind, "name": spec.name, "distribution": by.distribution, "version": by.version, "needed": spec.changes_results}
        for spec, by in registry.as_offered(SettingsSpec)
    ]
    for record, component in components_in(config):
        by = registry.owner(record, component.name)
        found.append({"kind": record.kind, "name": component.name, "distribution": by.distribution, "version": by.version, "needed": True})
    return found


def settings_of_run(run: Run, overrides: Sequence[str], registry: Registry, *, going_on: bool = False) -> RunConfig:
    """Read a run's settings with what is installed now.

    A group of settings whose package is gone is left out, unless the run goes on and the group changes results.

    Raises:
        ConfigError, PluginError: they cannot be read; if plugins are gone that the run was trained with, these are named with their versions.
    """
    gone = _gone(run.read_state(), registry)
    layer: Any = run.config_path
    dropped = {item["name"] for item in gone if item["kind"] == SettingsSpec.kind and not (going_on and item["needed"])}
    if dropped:
        read = read_yaml(run.config_path)
        dropped &= read.data.keys()
        layer = Layer({key: value for key, value in read.data.items() if key not in dropped}, read.origins)
        for name in sorted(dropped):
            log.info("settings '%s': left out, for the package that reads them is not here", name)
    try:
        return resolve_saved(layer, registry, overrides)
    except (ConfigError, PluginError) as err:
        if not gone:
            raise
        raise type(err)(f"{err}\n{_sentence(gone)}") from err


def components_in(config: Any) -> Iterator[tuple[Any, Component]]:
    """Every chosen component with its record class, wherever it stands in the settings."""
    cls: type = type(config)
    for name, setting in settings_of(cls, types_in(cls)).items():
        value = getattr(config, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Component):
                yield setting.component, part
                if part.settings is not None:
                    yield from components_in(part.settings)
            elif attrs.has(type(part)) and setting.group is not None:
                yield from components_in(part)


def _gone(state: Mapping[str, Any], registry: Registry) -> list[Provided]:
    """What the run was trained with and is not here, or no longer in its package; of runs that do not say, every package of plugins that is not."""
    here = {provider.distribution for provider in registry.providers}
    if "plugins" in state:
        offered = {(entry.provider.distribution, entry.kind, entry.spec.name) for entry in registry.entries}
        return [item for item in state["plugins"] if (item["distribution"], item["kind"], item["name"]) not in offered]
    return [
        {"kind": "", "name": "", "distribution": name, "version": version, "needed": True}
        for name, version in state.get("versions", {}).items()
        if name not in here and name not in {"python", "torch", "numpy", "h5py"}
    ]


def _sentence(gone: Sequence[Provided]) -> str:
    by: dict[tuple[str, str], list[str]] = {}
    for item in gone:
        by.setdefault((item["distribution"], item["version"]), []).append(f"the {item['kind']} {item['name']!r}" if item["kind"] else "")
    parts = []
    for (name, version), what in by.items():
        given = ", ".join(dict.fromkeys(filter(None, what)))
        parts.append(f"{name} {version}{f' ({given})' if given else ''}: {_remedy(name, version)}")
    return f"The run was trained with what is not here: {'; '.join(parts)}"


def _remedy(name: str, version: str) -> str:
    if name.endswith(".py"):
        return f"give the file with --plugin-file {name}"
    return "give it with plugins=[...]" if name == "in-memory" else f"pip install {name}=={version}"
