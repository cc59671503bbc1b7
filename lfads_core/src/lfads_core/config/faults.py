"""What is wrong with a set of settings: faults with their place and origin, gathered and reported together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from lfads_core.errors import ConfigError

Path = tuple[str | int, ...]
"""The way to a setting: keys, and positions in lists."""

_LONGEST = 80


@frozen
class Origin:
    """Where a value came from: a file with its line, a recipe, or the command line."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        """``lfads.yaml:12``, or the source alone where lines mean nothing."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


Origins = Mapping[Path, Origin]


@frozen
class Fault:
    """One thing to mend. ``path`` is empty for a fault of a whole file or option."""

    path: Path
    text: str
    origin: Origin | None = None

    def __str__(self) -> str:
        """One line: origin, path, what must hold."""
        where = [str(self.origin)] if self.origin else []
        return ": ".join([*where, *([dotted(self.path)] if self.path else []), self.text])


def dotted(path: Path) -> str:
    """``("optim", "betas", 0)`` as ``optim.betas.0``."""
    return ".".join(str(part) if str(part).isprintable() else repr(part) for part in path)


def origin_of(path: Path, origins: Origins) -> Origin | None:
    """Origin of the value at ``path``; else of the first thing written inside it; else of the nearest group around it."""
    inside = (origin for way, origin in origins.items() if way[: len(path)] == path)
    around = (origins[path[:n]] for n in range(len(path) - 1, 0, -1) if path[:n] in origins)
    return origins.get(path) or next(inside, None) or next(around, None)


def refuse(faults: Sequence[Fault]) -> None:
    """Raise one ConfigError with every fault on its own line, each file's in the order of its lines; nothing if there are none."""
    if not faults:
        return
    sources = list(dict.fromkeys(fault.origin.source for fault in faults if fault.origin))

    def order(fault: Fault) -> tuple[int, int]:
        if fault.origin is None:
            return (len(sources) if fault.path else -1), 0
        return sources.index(fault.origin.source), fault.origin.line or 0

    raise ConfigError("\n".join(dict.fromkeys(str(fault) for fault in sorted(faults, key=order))))


def shown(value: Any) -> str:
    """A value as the user would have typed it, on one line and not too long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        return "a very long number"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def listed(options: Iterable[str]) -> str:
    """``a, b or c``."""
    *head, last = options
    return f"{', '.join(head)} or {last}" if head else last


def a(noun: str) -> str:
    """``a prior``, ``an augmentation``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def near(word: str, options: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three options that look like ``word``, the likeliest first."""
    return difflib.get_close_matches(word, list(options), n=3, cutoff=cutoff)
