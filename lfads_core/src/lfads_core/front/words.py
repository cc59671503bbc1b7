"""What is said to people who work in Python: options of commands under the names that they have there."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lfads_core.errors import LfadsError

P = ParamSpec("P")
T = TypeVar("T")

_NAMES = {
    "bin": "bin_ms",
    "trials": "keep_trials",
    "units": "keep_units",
    "resume": "run.resume()",
}
"""Option of a command -> its name in Python, where more than dashes differ."""

_FLAGS = {
    "last": "last=True",
    "event-from-start": "event_from_start=True",
    "force": "overwrite=True",
    "mean": "mean=True",
    "no-stratify": "stratify=False",
}
_WORDS = frozenset({"must", "and", "or", "out", "if", "to", "fits", "leaves", "holds", "is"})
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)\b(?:[ =]((?:[\w.]+=)?[\w.]*\w)|(:))?")
_PHRASES = {
    "Give a table of trials (--trials), or chop the whole recording with `lfads data chop`.": "Give 'trials', or chop into windows: window=1000.",
    "Use --resume to continue it, or another --name.": "Go on with lf.load(...).resume(), or take another 'name'.",
}


def in_python(text: str) -> str:
    """The same sentence for Python: ``--min-rate 0.01`` becomes ``min_rate=0.01``, and ``--min-rate`` alone ``'min_rate'``."""
    for said, meant in _PHRASES.items():
        text = text.replace(said, meant)
    return _OPTION.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    option, value, colon = found.groups()
    name = _NAMES.get(option, option.replace("-", "_"))
    if option == "set" and value:
        setting, _, to = value.partition("=")
        return f"settings={{'{setting}': {to}}}"
    if value and value not in _WORDS:
        return f"{name}={value}" if re.fullmatch(r"[\d.]+", value) else f"{name}={value!r}"
    told = f"{name}{colon}" if colon else _FLAGS.get(option) or (name if name.endswith(")") else f"'{name}'")
    return f"{told} {value}" if value else told


def said_in_python(call: Callable[P, T]) -> Callable[P, T]:
    """Let errors of a function speak of Python's options instead of the command line's."""

    @functools.wraps(call)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except LfadsError as err:
            err.args = tuple(in_python(arg) if isinstance(arg, str) else arg for arg in err.args)
            raise

    return told
