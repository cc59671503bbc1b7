"""Names and values in the form that MLflow takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LONGEST_NAME = 250
LONGEST_VALUE = 6000
"""Limits of MLflow's tables, in characters."""

_OTHER = re.compile(r"[^A-Za-z0-9_\-. :/]")


class Names:
    """Turns our names into MLflow's: letters, digits and ``_ - . space : /``, as a path without empty or dotted parts.

    Two of our names never become one: the second gets a number.
    """

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """The name to use; always the same for the same name."""
        if name not in self._given:
            clean = _clean(name)
            taken, number = set(self._given.values()), 2
            unique = clean
            while unique in taken:
                unique, number = f"{clean[: LONGEST_NAME - 6]}_{number}", number + 1
            self._given[name] = unique
        return self._given[name]


def flatten(settings: Mapping[str, object]) -> dict[str, str]:
    """Nested settings as ``{"optim.lr": "0.004", ...}``; items of lists are numbered from 0, nothing is ``null``."""
    flat: dict[str, str] = {}
    _collect(settings, "", flat)
    names = Names()
    return {names[name]: shortened(value) for name, value in flat.items()}


def shortened(value: str) -> str:
    """At most as long as MLflow keeps values; three dots say that something is missing."""
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "..."


def _collect(value: object, name: str, flat: dict[str, str]) -> None:
    if isinstance(value, Mapping) and (value or not name):
        for key, item in value.items():
            _collect(item, f"{name}.{key}" if name else str(key), flat)
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            _collect(item, f"{name}.{number}", flat)
    else:
        flat[name] = "null" if value is None else str(value)


def _clean(name: str) -> str:
    parts = [part for part in _OTHER.sub("_", name)[: LONGEST_NAME - 1].split("/") if part not in {"", ".", ".."}]
    clean = "/".join(parts) or "_"
    return f"_{clean}" if clean.startswith("..") else clean
