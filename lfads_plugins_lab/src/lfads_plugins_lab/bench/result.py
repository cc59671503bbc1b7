"""What a measurement is asked for with, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all measurements take."""

    paths: Sequence[str]  # loops by name, ``reference`` among them
    threads: int
    rounds: int
    memory: bool = True  # measure peak memory of each path in a process of its own
    overrides: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """One configuration, measured on every path."""

    config: str
    device: str
    paths: Mapping[str, Mapping[str, float]]
    products_s: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        floor = {} if self.products_s is None else {"products_s": self.products_s}
        return {"config": self.config, **self.more, **floor, "paths": {name: dict(row) for name, row in self.paths.items()}}


def against_reference(paths: Mapping[str, Mapping[str, float]], what: str = "median_s") -> dict[str, dict[str, float]]:
    """Every path's row with ``speedup``: how many times quicker than the reference it is."""
    base = paths["reference"][what]
    return {name: {**row, "speedup": round(base / row[what], 2)} for name, row in paths.items()}


def named_paths(paths: Sequence[str]) -> list[str]:
    """Every path once, the reference among them."""
    return list(dict.fromkeys([*paths, "reference"]))
