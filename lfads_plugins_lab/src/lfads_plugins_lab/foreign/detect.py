"""Settings of another implementation, whichever it is, in our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from lfads_core.config.faults import refuse
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import Layer, dump_plain, read_yaml
from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_core.wording import a, listed
from lfads_plugins_lab.foreign.reading import Leftover, Reading
from lfads_plugins_lab.specs import ForeignSettingsSpec


@frozen
class Translated:
    """Settings taken over: ``config`` is what they resolve to, ``settings`` what was said, ``taken`` our names by theirs."""

    source: str
    format: str
    settings: Mapping[str, Any]
    taken: Mapping[str, str]
    left: tuple[Leftover, ...]
    config: RunConfig


def import_settings(path: Path, registry: Registry) -> Translated:
    """Read a file of any format of ``lfads_foreign_settings``; the one that knows most of its keys is taken.

    Raises:
        ConfigError: it cannot be read, is of none of them, or holds values that cannot be meant; one line each.
    """
    layer = read_yaml(path)
    formats = [spec for spec, _ in registry.as_offered(ForeignSettingsSpec)]
    counts = [registry.shield(ForeignSettingsSpec, spec.name, partial(_count, spec, layer.data), "other formats are tried") or 0 for spec in formats]
    if not any(counts):
        known = listed(f"{spec.summary} ({', '.join(spec.examples)})" for spec in formats) if formats else "a format that a plugin offers"
        raise ConfigError(
            f"{path}: must be settings of {known}, got {_brief(layer.data)}. Settings of lfads itself are checked by 'lfads config check'."
        )
    chosen = formats[counts.index(max(counts))]
    reading = Reading(origins=layer.origins)
    registry.blame(ForeignSettingsSpec, chosen.name, lambda: chosen.translate(layer.data, reading))
    for key in sorted(set(map(str, layer.data)) - _spoken_of(reading)):
        reading.leave(key, f"{registry.owner(ForeignSettingsSpec, chosen.name)} says nothing of it")
    refuse([fault if fault.origin else fault.__class__(fault.path, fault.text, layer.origins.get(())) for fault in reading.faults])
    try:
        config = resolve([Layer(reading.settings, {})], [], [], registry)
    except ConfigError as err:
        theirs = {ours: key for key, written in reading.taken.items() for ours in written.split(", ")}
        lines = [f"{path}: {_named(line, theirs)}" for line in str(err).splitlines()]
        raise ConfigError("\n".join(lines)) from err
    return Translated(str(path), chosen.summary, reading.settings, dict(reading.taken), tuple(reading.left), config)


def _count(spec: ForeignSettingsSpec, data: Mapping[str, Any]) -> int:
    found = spec.known(data)
    if not isinstance(found, int):
        raise TypeError(f"known must give a number of keys, got {a(type(found).__name__)}")
    return found


def _spoken_of(reading: Reading) -> set[str]:
    """Keys at the top of a file of which a translation said what became of them, or of something below them."""
    keys = [*reading.taken, *(left.key for left in reading.left), *(str(part) for fault in reading.faults for part in fault.path[:1])]
    return {part for key in keys for part in (key, re.split(r"[.\[/]", key)[0])}


def written(imported: Translated) -> str:
    """The settings as YAML, headed by where they came from and what was left."""
    head = f"# From {imported.source} ({imported.format}) by 'lfads config import'."
    lines = [head, *(f"# not taken over: {item.key}: {item.why}" for item in imported.left)]
    return "\n".join(line.replace("\n", " ") for line in lines) + "\n" + (dump_plain(imported.settings) if imported.settings else "")


def _named(line: str, theirs: Mapping[str, str]) -> str:
    """A fault of ours with the key that brought the value."""
    path = line.partition(":")[0]
    key = next((key for ours, key in theirs.items() if path == ours or path.startswith(f"{ours}.")), None)
    return f"{key} (here {line.replace(path, path + ')', 1)}" if key else line


def _brief(data: Mapping[str, Any]) -> str:
    keys = list(data)[:4]
    return f"the keys {', '.join(map(str, keys))}{', ...' if len(data) > len(keys) else ''}" if keys else "nothing"
