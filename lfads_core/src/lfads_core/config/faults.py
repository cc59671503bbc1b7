"""What is wrong with a set of settings: faults with their place and origin, gathered and reported together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from lfads_core.errors import ConfigError

Path = tuple[str | int, ...]
"""The way to a setting: keys, and positions in lists."""


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
class SettingsFault:
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


def said(err: Exception) -> str:
    """What a check says; attrs puts more than that into an exception."""
    return " ".join(str(err.args[0] if err.args else repr(err)).split())


def origin_of(path: Path, origins: Origins) -> Origin | None:
    """Origin of the value at ``path``; else of the first thing written inside it; else of the nearest group around it."""
    inside = (origin for way, origin in origins.items() if way[: len(path)] == path)
    around = (origins[path[:n]] for n in range(len(path) - 1, 0, -1) if path[:n] in origins)
    return origins.get(path) or next(inside, None) or next(around, None)


def refuse(faults: Sequence[SettingsFault]) -> None:
    """Raise one ConfigError with every fault on its own line, each file's in the order of its lines; nothing if there are none."""
    if not faults:
        return
    sources = list(dict.fromkeys(fault.origin.source for fault in faults if fault.origin))

    def order(fault: SettingsFault) -> tuple[int, int]:
        if fault.origin is None:
            return (len(sources) if fault.path else -1), 0
        return sources.index(fault.origin.source), fault.origin.line or 0

    raise ConfigError("\n".join(dict.fromkeys(str(fault) for fault in sorted(faults, key=order))))
