"""Settings of a generator from ``key=value`` texts, as strict as those of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lfads_core.config.faults import Origin, Path, SettingsFault
from lfads_core.config.kinds import Specs
from lfads_core.config.structure import structure_as
from lfads_core.config.yaml_io import parse_value
from lfads_core.errors import ConfigError
from lfads_core.plugins.specs import SyntheticSpec


def synthetic_settings(spec: SyntheticSpec, overrides: Sequence[str], registry: Specs, *, said: str = "--set") -> Any:
    """Build the generator's settings; see :func:`settings_from`."""
    return settings_from(spec.config, overrides, registry, said=said)


def settings_from(config: type, overrides: Sequence[str], registry: Specs, *, said: str = "--set") -> Any:
    """Build an instance of a class of settings; what is not given takes its default, and the last of equal keys wins.

    ``said`` is how messages call what was given.

    Raises:
        ConfigError: one line for each fault.
    """
    origin = Origin(said)
    data: dict[str, Any] = {}
    origins: dict[Path, Origin] = {}
    faults: list[SettingsFault] = []
    for text in overrides:
        key, equals, written = (part.strip() for part in text.partition("="))
        if not equals or not key or not written:
            faults.append(SettingsFault((), f"must be KEY=VALUE such as bins=100, got {text!r}", origin))
            continue
        try:
            data[key] = parse_value(written, f"{said}: {key}")
        except ConfigError as err:
            faults.append(SettingsFault((), str(err)))
        origins[(key,)] = origin
    return structure_as(config, data, registry, origins=origins, earlier=faults)
