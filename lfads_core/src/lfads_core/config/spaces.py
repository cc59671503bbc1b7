"""Where a search looks for the value of one setting; in settings files, and offered by settings themselves."""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal

from attrs import frozen

from lfads_core.config.fields import at_least, setting

LIVE: Final = "live"
"""For ``setting(..., search=LIVE)``: it may change while a model trains, but is not searched unless one asks for it."""

ELSEWHERE: Final = "elsewhere"
"""For ``setting(..., search=ELSEWHERE)``: it says where a run is computed or recorded, not what is computed. It may change when a run is resumed,
and two runs that differ in it alone are the same."""

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@frozen(kw_only=True)
class SpaceConfig:
    """Where one hyperparameter is looked for, and how population-based training moves it."""

    kind: Literal["log", "uniform", "int", "choice", "function"] = setting(
        "uniform", "log (log-uniform), uniform, int (whole numbers, both ends included), choice (of values), function (of your own)"
    )
    low: float | None = setting(None, "least value (null: none, for choice and function)")
    high: float | None = setting(None, "largest value (null: none, for choice and function)")
    values: tuple[Any, ...] | None = setting(None, "values of a choice, and of a grid over any kind; in order, if they have one")
    function: str | None = setting(None, "'module:name' of a function that draws a value with the random.Random it is given")
    init: Any = setting(None, "value that every member of a population starts from (null: each draws its own)")
    explore: float = setting(0.3, "largest relative move after an exploit", rule=at_least(0))
    enforce: bool = setting(True, "whether moves stay between low and high; else they only stay above 0")

    def rules(self) -> list[str]:
        """Faults across fields, each as ``name: text``."""
        faults = [
            f"{key}: must be a finite number, got {x!r}"
            for key, x in (("low", self.low), ("high", self.high))
            if x is not None and not math.isfinite(x)
        ]
        if faults:
            return faults
        if self.kind in {"log", "uniform", "int"}:
            return self._faults_of_range()
        if self.kind == "choice" and not self.values:
            return [f"values: must hold at least one value for the kind choice, got {self.values!r}"]
        if self.kind == "function" and (self.function is None or not _REFERENCE.fullmatch(self.function)):
            return [f"function: must be 'module:name' for the kind function, got {self.function!r}"]
        return []

    def _faults_of_range(self) -> list[str]:
        if self.low is None or self.high is None or self.low >= self.high:
            return [f"low: must be below high, both given, for the kind {self.kind}, got {self.low!r} and {self.high!r}"]
        if self.kind == "log" and self.low <= 0:
            return [f"low: must be > 0 for the kind log, got {self.low!r}"]
        if self.kind == "int" and not (self.low.is_integer() and self.high.is_integer()):
            return [f"low: must be a whole number, as high, for the kind int, got {self.low!r} and {self.high!r}"]
        return []


def log(low: float, high: float, *, init: float | None = None, explore: float = 0.3) -> SpaceConfig:
    """Log-uniform from ``low`` to ``high``."""
    return SpaceConfig(kind="log", low=low, high=high, init=init, explore=explore)


def uniform(low: float, high: float, *, init: float | None = None, explore: float = 0.3) -> SpaceConfig:
    """Uniform from ``low`` to ``high``."""
    return SpaceConfig(kind="uniform", low=low, high=high, init=init, explore=explore)
