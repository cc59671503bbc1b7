"""What hyperparameters are called where there is little room, and how their axes are drawn."""

from __future__ import annotations

from collections.abc import Iterable

RATIO_OF_LOG_AXES = 20.0
"""Values that are all positive and differ by more than this factor are told apart on a logarithmic axis only."""


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Shortest endings of config paths that tell them apart: ``optim.lr`` is ``lr``; a component's setting keeps its component's name."""
    split = {path: path.split(".") for path in paths}
    return {path: ".".join(parts[-_needed(parts, [p for p in split.values() if p is not parts]) :]) for path, parts in split.items()}


def is_logarithmic(values: Iterable[float]) -> bool:
    """Whether values are better drawn on a logarithmic axis."""
    known = [value for value in values if value == value]  # noqa: PLR0124 - NaN is not equal to itself
    return bool(known) and min(known) > 0 and max(known) > RATIO_OF_LOG_AXES * min(known)


def _needed(parts: list[str], others: list[list[str]]) -> int:
    """How many of the last parts are needed."""
    count = 2 if parts[0] == "components" and len(parts) > 2 else 1
    while count < len(parts) and any(other[-count:] == parts[-count:] for other in others):
        count += 1
    return count
