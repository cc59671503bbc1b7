"""Single values, strictly: nothing is rounded, parsed or bent into place. Functions of a value and its type, as cattrs calls them."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class Misfit(Exception):  # noqa: N818 - says what a value is not; never leaves this package
    """A value that is not of the wanted type. ``must``, if any, says more than the type does; ``because``, why it is not."""

    def __init__(self, must: str = "", because: str = "") -> None:
        super().__init__(must, because)
        self.must, self.because = must, because


def exactly(value: Any, t: Any) -> Any:
    """``value`` if it is of this very type; a bool is no int."""
    if type(value) is not t:
        raise Misfit
    return value


def literal(value: Any, t: Any) -> Any:
    """``value`` if it is one of the options of a Literal; True is not 1."""
    for option in typing.get_args(t):
        if type(option) is type(value) and option == value:
            return option
    raise Misfit


def path(value: Any, _type: Any = Path) -> Path:
    """A path, or the text of one."""
    if not isinstance(value, str | Path):
        raise Misfit
    return Path(value)


def number(value: Any, _type: Any = float) -> float:
    """A float. Whole numbers serve too, and ``1e-4`` is a number although YAML 1.1 reads it as text."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit
    try:
        found = float(value)
    except OverflowError:
        raise Misfit("a number within the range of float64") from None
    if not math.isfinite(found):
        raise Misfit("a finite number")
    if found != value:
        raise Misfit("a number that float64 can hold exactly")
    return found


SCALARS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {bool: exactly, int: exactly, float: number, str: exactly, Path: path}
