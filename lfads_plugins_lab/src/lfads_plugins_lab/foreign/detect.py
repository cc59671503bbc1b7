"""Settings of another implementation, whichever it is, in our names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from lfads_core.config.faults import refuse
from lfads_core.config.kinds import Specs
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import Layer, dump_plain, read_yaml
from lfads_core.errors import ConfigError
from lfads_plugins_lab.foreign import lfads_torch, tf1, tf2
from lfads_plugins_lab.foreign.reading import Leftover, Reading


@frozen
class Imported:
    """Settings taken over: ``config`` is what they resolve to, ``settings`` what was said, ``taken`` our names by theirs."""

    source: str
    format: str
    settings: Mapping[str, Any]
    taken: Mapping[str, str]
    left: tuple[Leftover, ...]
    config: RunConfig


def import_settings(path: Path, registry: Specs) -> Imported:
    """Read a file of lfads-torch, autolfads-tf2 or LFADS in TensorFlow 1.

    Raises:
        ConfigError: it cannot be read, is of none of them, or holds values that cannot be meant; one line each.
    """
    layer = read_yaml(path)
    name = _format(layer.data)
    if name is None:
        raise ConfigError(
            f"{path}: must be settings of lfads-torch (gen_dim, fac_dim, ...), autolfads-tf2 (MODEL, TRAIN) or LFADS in TensorFlow "
            f"(factors_dim, keep_prob, ...), got {_brief(layer.data)}. Settings of lfads itself are checked by 'lfads config check'."
        )
    reading = Reading(origins=layer.origins)
    {"lfads-torch": lfads_torch.translate, "autolfads-tf2": tf2.translate, "LFADS in TensorFlow 1": tf1.translate}[name](layer.data, reading)
    refuse([fault if fault.origin else fault.__class__(fault.path, fault.text, layer.origins.get(())) for fault in reading.faults])
    try:
        config = resolve([Layer(reading.settings, {})], [], [], registry)
    except ConfigError as err:
        theirs = {ours: key for key, written in reading.taken.items() for ours in written.split(", ")}
        lines = [f"{path}: {_named(line, theirs)}" for line in str(err).splitlines()]
        raise ConfigError("\n".join(lines)) from err
    return Imported(str(path), name, reading.settings, dict(reading.taken), tuple(reading.left), config)


def written(imported: Imported) -> str:
    """The settings as YAML, headed by where they came from and what was left."""
    head = f"# From {imported.source} ({imported.format}) by 'lfads config import'."
    lines = [head, *(f"# not taken over: {item.key}: {item.why}" for item in imported.left)]
    return "\n".join(line.replace("\n", " ") for line in lines) + "\n" + (dump_plain(imported.settings) if imported.settings else "")


def _format(data: Mapping[str, Any]) -> str | None:
    """Whose keys these are, by how many are known there."""
    if {"MODEL", "TRAIN"} & set(data) and any(".".join(map(str, way)).upper() in tf2.TABLE for way, _ in tf2.leaves(data)):
        return "autolfads-tf2"
    names = set(data)
    for section in lfads_torch.SECTIONS:
        inner = data.get(section)
        names |= set(inner) if isinstance(inner, Mapping) else set()
    names |= {name.partition(".")[2] for name in names if name.partition(".")[0] in lfads_torch.SECTIONS}
    torch_keys = {name for table in lfads_torch.SECTIONS.values() for name in table}
    scores = {"lfads-torch": len(names & torch_keys), "LFADS in TensorFlow 1": len(set(data) & tf1.TABLE.keys())}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else None


def _named(line: str, theirs: Mapping[str, str]) -> str:
    """A fault of ours with the key that brought the value."""
    path = line.partition(":")[0]
    key = next((key for ours, key in theirs.items() if path == ours or path.startswith(f"{ours}.")), None)
    return f"{key} (here {line.replace(path, path + ')', 1)}" if key else line


def _brief(data: Mapping[str, Any]) -> str:
    keys = list(data)[:4]
    return f"the keys {', '.join(map(str, keys))}{', ...' if len(data) > len(keys) else ''}" if keys else "nothing"
