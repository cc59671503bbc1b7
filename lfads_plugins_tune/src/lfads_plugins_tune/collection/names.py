"""Names of runs, from what tells them apart: ``day1__factors20__lr0.001``.

A name is the dataset's, the variant's if it has one, and one part for each setting that varies. Letters are those that every file
system and shell takes as they are. What a folder is called decides nothing: runs are found again by their hashes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from lfads_core.config.faults import dotted
from lfads_core.config.groups import run_config_class
from lfads_core.config.places import places
from lfads_core.plugins import load_registry

BETWEEN = "__"
LONGEST = 80
"""Characters of a name, so that paths stay below what file systems allow."""

_DIGITS = 6


def run_name(dataset: str, variant: str, varied: Mapping[str, Any]) -> str:
    """The name of a run; one that would be too long is cut, and ends in a hash of the whole."""
    parts = [dataset, *filter(None, [variant]), *(part(path, value) for path, value in varied.items())]
    name = BETWEEN.join(safe(text) for text in parts)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - _DIGITS - len(BETWEEN)]}{BETWEEN}{_short(name)}"


def told_apart(name: str, settings_hash: str, data_hash: str) -> str:
    """Another name for a run whose own is taken by one of other settings or data."""
    return f"{name}{BETWEEN}{_short(settings_hash + data_hash)}"


def part(path: str, value: Any) -> str:
    """One varied setting: its key, then its value; words are set off by a dash, ``off`` stands for null."""
    shown = _value(value)
    return f"{key(path)}{shown if re.match(r'-?[0-9.]', shown) else f'-{shown}'}"


def key(path: str) -> str:
    """The last word of a path, with the one before it where several settings end alike."""
    *before, last = path.split(".")
    clear = _ends().get(last) == 1 or not before
    return last if clear else f"{before[-1]}.{last}"


def safe(text: str) -> str:
    """``text`` with a dash for whatever is no letter, digit or one of ``_ . + -`` of ASCII; it begins with a letter or digit."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)
    return plain.strip("-.") if re.match(r"[A-Za-z0-9_]", plain.strip("-.")) else f"x{_short(text)}"


def _value(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        named = [str(value["name"])] if "name" in value else []
        return "-".join([*named, *(part(str(k), v) for k, v in value.items() if k != "name")]) or "empty"
    if isinstance(value, Sequence):
        return "+".join(_value(item) for item in value) or "none"
    return str(value)


@cache
def _ends() -> Mapping[str, int]:
    """How many settings end in each word."""
    root: type = run_config_class(load_registry())
    return Counter(dotted(place.path).rpartition(".")[2] for place in places(root))


def _short(text: str) -> str:
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()[:_DIGITS]
