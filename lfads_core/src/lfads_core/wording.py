"""Values, names and lists in a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 80
_LONGEST_REASON = 300


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


def first_few(names: Sequence[str], most: int) -> str:
    """The first names, joined by commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def one_line(err: BaseException) -> str:
    """Say an exception's kind and text in one line of bounded length."""
    text = " ".join(f"{type(err).__name__}: {err}".split()).removesuffix(":")
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."
