"""Drawing a hyperparameter from its space, and moving it from where a better member has it."""

from __future__ import annotations

import importlib
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lfads_core.config.spaces import SpaceConfig
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.chance import Draws

MOST_DRAWS = 100
"""Times a move is drawn before it is cut off at the bounds."""

_LEAST_MOVE = 0.002
"""Least relative move, as a share of the largest."""


def sample(space: SpaceConfig, rng: Draws) -> Any:
    """Draw a value: ``10^U(log10 low, log10 high)``, ``U(low, high)``, a whole number from low to high, one of the values, or the function's."""
    low, high = space.low, space.high
    if space.kind == "choice" and space.values:
        return space.values[rng.randrange(0, len(space.values))]
    if space.kind == "function":
        return drawing_function(space)(rng)
    if low is None or high is None:
        raise ConfigError(f"a space of kind {space.kind!r} must have low and high, got {low!r} and {high!r}.")
    if space.kind == "int":
        return rng.randrange(int(low), int(high) + 1)
    if space.kind == "log":
        return min(max(10 ** rng.uniform(math.log10(low), math.log10(high)), low), high)  # rounding may lead just outside
    return rng.uniform(low, high)


def explore(space: SpaceConfig, value: Any, rng: random.Random, accepts: Callable[[Any], bool] = lambda _: True) -> Any:
    """Move away from ``value``, a better member's: numbers by up to a share ``space.explore``, choices to a neighbour in the list.

    A number is drawn as ``(1 + p) value``, where p is, with equal chance, positive or negative, and at least 0.002 of the largest
    move in size; again until it lies within the bounds (above 0 unless they are enforced) and the setting ``accepts`` it. After
    100 draws it is cut off at the bounds. Whole numbers are rounded, and move by at least one. 0 stays 0.
    """
    if space.kind == "choice":
        return _neighbour(space, value, rng)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return sample(space, rng)
    low, high = 0.0, math.inf
    if space.enforce and space.low is not None and space.high is not None:
        low, high = space.low, space.high
    whole = isinstance(value, int)
    for _ in range(MOST_DRAWS):
        candidate = _moved(value, space.explore, rng, whole=whole)
        if low <= candidate <= high and accepts(candidate):
            return candidate
    cut = min(max(candidate, low), high)
    cut = int(cut) if whole else cut
    return cut if accepts(cut) else value


def points(space: SpaceConfig, path: str) -> tuple[Any, ...]:
    """Every value a grid visits.

    Raises:
        ConfigError: the space does not say.
    """
    if space.values:
        return space.values
    if space.kind == "int" and space.low is not None and space.high is not None:
        return tuple(range(int(space.low), int(space.high) + 1))
    raise ConfigError(f"search.spaces: {path}: a grid must know every value, got the kind {space.kind!r} without. Say {path}=choice:A,B,C.")


def drawing_function(space: SpaceConfig) -> Callable[[Any], Any]:
    """The function that a space of the kind ``function`` names.

    Raises:
        ConfigError: there is none.
    """
    module, _, name = (space.function or "").partition(":")
    try:
        found: Any = _module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as err:
        raise ConfigError(f"the function of a space must be importable as 'module:name', got {space.function!r} ({err}).") from err
    if not callable(found):
        raise ConfigError(f"the function of a space must be callable, got {space.function!r}, which is {type(found).__name__}.")
    function: Callable[[Any], Any] = found
    return function


def _module(name: str) -> ModuleType:
    """A module, also of the folder one is in, where the command line does not look by itself."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _moved(value: float, share: float, rng: random.Random, *, whole: bool) -> float:
    up = rng.uniform(_LEAST_MOVE * share, share)
    down = rng.uniform(-share, -_LEAST_MOVE * share)
    move = rng.choice((up, down))
    candidate = (1 + move) * value
    if not whole:
        return candidate
    rounded = round(candidate)
    return rounded if rounded != value else value + (1 if move > 0 else -1)


def _neighbour(space: SpaceConfig, value: Any, rng: random.Random) -> Any:
    values = list(space.values or ())
    if value not in values:
        return sample(space, rng)
    at = values.index(value)
    beside = [values[i] for i in (at - 1, at + 1) if 0 <= i < len(values)]
    return rng.choice(beside) if beside else value
