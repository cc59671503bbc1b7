"""What the translations of other implementations' settings share: a table of keys, and what became of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from lfads_core.config.faults import Origin, Path, SettingsFault
from lfads_core.config.load import BEFORE
from lfads_core.config.merge import PlaceShape, put
from lfads_core.config.schema import RunConfig
from lfads_core.wording import near, shown

SIZE = "sizes are found in the data"
PLACE = "where files are is said on the command line"


@frozen
class Leftover:
    """A key whose value was not taken over, and why."""

    key: str
    why: str


@frozen
class Reading:
    """A translation in progress: ``settings`` in our names, what was left, what is wrong."""

    origins: Mapping[Path, Origin] = field(factory=dict)
    given: dict[str, Any] = field(factory=dict)
    """Values by their keys there, as far as they have been met."""
    settings: dict[str, Any] = field(factory=dict)
    taken: dict[str, str] = field(factory=dict)
    """Ours by theirs."""
    left: list[Leftover] = field(factory=list)
    faults: list[SettingsFault] = field(factory=list)

    def put(self, key: str, path: str, value: Any) -> None:
        """Set one of ours to what ``key`` says."""
        self.settings.update(put(self.settings, path.split("."), value, PlaceShape(RunConfig)))
        self.taken[key] = ", ".join(dict.fromkeys([*filter(None, [self.taken.get(key)]), path]))

    def leave(self, key: str, why: str) -> None:
        """Say why a key is not taken over."""
        self.left.append(Leftover(key, why))

    def as_before(self) -> None:
        """Say that an epoch is one pass and weights are not averaged, as with all who have no word for either."""
        for group, settings in BEFORE.items():
            self.settings[group] = {**settings, **(self.settings.get(group) or {})}

    def fault(self, key: str, where: Path, text: str) -> None:
        """Note a value that cannot be meant."""
        self.faults.append(SettingsFault((key,), text, self.origins.get(where)))

    def unknown(self, key: str, known: Mapping[str, Any]) -> None:
        """Say what an unknown key may have been meant to be."""
        word = key.rpartition(".")[2]
        likely = near(word, [name.rpartition(".")[2] for name in known], 0.75)
        self.leave(key, "no such key there" + (f"; did you mean {' or '.join(likely)}?" if likely else ""))


Translation = Callable[[Reading, str, Path, Any], None]
"""Takes one key over: the reading, the key, its place in the file, its value."""


def number(path: str, convert: Callable[[float], Any] = float, *, whole: bool = False) -> Translation:
    """A number that becomes ``path``, by ``convert``."""

    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        got = as_number(value)
        if got is None or (whole and got != int(got)):
            reading.fault(key, where, f"must be a {'whole ' if whole else ''}number, got {shown(value)}")
            return
        reading.given[key] = got
        reading.put(key, path, convert(int(got) if whole else got))

    return rule


def size(path: str) -> Translation:
    """A whole number that becomes ``path``."""
    return number(path, int, whole=True)


def switch(path: str, on: Any = True, off: Any = False) -> Translation:
    """A truth value that becomes one of two of ours."""

    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        if not isinstance(value, bool):
            reading.fault(key, where, f"must be true or false, got {shown(value)}")
            return
        reading.put(key, path, on if value else off)

    return rule


def keep(reading: Reading, key: str, where: Path, value: Any) -> None:
    """Remember the value; what it means with others is decided at the end."""
    got = as_number(value)
    reading.given[key] = value if got is None else got


def left(why: str) -> Translation:
    """A key without counterpart."""

    def rule(reading: Reading, key: str, where: Path, value: Any) -> None:
        reading.leave(key, why)

    return rule


def as_number(value: Any) -> float | None:
    """A number in either spelling (``1e-3`` is a text to some), or None."""
    if isinstance(value, bool):
        return None
    try:
        got = float(value)
    except (TypeError, ValueError):
        return None
    return got if math.isfinite(got) else None


def controller(reading: Reading, sizes: Mapping[str, str]) -> None:
    """Turn the controller off if any of its sizes is 0, else set those that are given. ``sizes``: their key to ours."""
    given = {key: reading.given[key] for key in sizes if key in reading.given}
    for key, value in given.items():
        if not isinstance(value, float) or value < 0 or value != int(value):
            reading.fault(key, (), f"must be a whole number, at least 0, got {shown(value)}")
            return
    if 0 in given.values():
        reading.settings["model"] = {**reading.settings.get("model", {}), "controller": None}
        for key in given:
            reading.taken[key] = "model.controller=null"
        return
    for key, value in given.items():
        reading.put(key, sizes[key], int(value))


def apply(reading: Reading, table: Mapping[str, Translation], key: str, where: Path, value: Any, known: str | None = None) -> None:
    """Take one key over by the table; ``known`` is its name there, if it is not ``key``."""
    rule = table.get(known or key)
    if rule is None:
        reading.unknown(key, table)
    elif isinstance(value, str) and value.startswith("${"):
        reading.leave(key, f"{value} refers to another place; write the value out")
    else:
        rule(reading, key, where, value)
