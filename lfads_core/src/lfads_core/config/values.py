"""Single values, strictly: nothing is rounded, parsed or bent into place."""

from __future__ import annotations

import math
import re
import typing
from pathlib import Path
from typing import Any, Final, Literal

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")

SCALARS: Final = (bool, int, float, str, Path)


class Misfit(Exception):  # noqa: N818 - says what a value is not; never leaves this package
    """A value that is not of the wanted type; the text, if any, says more than the type does."""


def scalar(t: Any, value: Any) -> Any:
    """Return ``value`` as the plain type ``t`` or a Literal, or raise Misfit.

    Whole numbers serve as numbers. ``1e-4`` is a number although YAML 1.1 reads it as text.
    """
    if typing.get_origin(t) is Literal:
        for option in typing.get_args(t):
            if type(option) is type(value) and option == value:  # True == 1 would pass otherwise
                return option
        raise Misfit
    if t is float:
        return _number(value)
    if t is Path and isinstance(value, str | Path):
        return Path(value)
    if type(value) is not t:
        raise Misfit
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit
    try:
        number = float(value)
    except OverflowError:
        raise Misfit("a number within the range of float64") from None
    if not math.isfinite(number):
        raise Misfit("a finite number")
    if number != value:
        raise Misfit("a number that float64 can hold exactly")
    return number
