"""Values, names and lists in a sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

_LONGEST = 80
_LONGEST_REASON = 300
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tabs and line ends, marks that turn the direction of a line, and halves of characters."""


def shown(value: Any) -> str:
    """A value as the user would have typed it, on one line and not too long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = re.sub(r"\s*\n\s*", " ", repr(value))  # of arrays; those in a text are escaped
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        return "a very long number"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def printable(text: str) -> str:
    """Text from a file that a terminal or page may show: what would move its cursor or cannot be written stands as an escape."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(err: BaseException) -> str:
    """Say an exception's kind and text in one line of bounded length."""
    said = err.args[0] if any(isinstance(arg, attrs.Attribute) for arg in err.args) else err  # validators of attrs add objects to their text
    text = " ".join(f"{type(err).__name__}: {said}".split()).removesuffix(":")
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."


def spoken_size(count: float) -> str:
    """``4.2 GB``."""
    if count > 1e300:  # whole numbers may be larger than any float
        return "more than 1e+282 EB"
    for unit, size in (("EB", 1e18), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


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


def first_few(names: Sequence[str], most: int) -> str:
    """The first names, joined by commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
