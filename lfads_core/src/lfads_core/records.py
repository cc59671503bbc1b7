"""Records that were written as JSON, held to the types that their class declares when they are read again: anybody may have edited the file."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

T = TypeVar("T")


def record_from(cls: type[T], data: Any) -> T:
    """A dataclass from plain data.

    Raises:
        TypeError: a field is missing, unknown, or of another type than is declared.
    """
    if not isinstance(data, dict):
        raise TypeError(f"must be an object, got {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type] # a dataclass
    for key, value in data.items():
        if key in known and not fits(value, hints[key]):
            raise TypeError(f"'{key}' cannot be {value!r:.60}")
    return cls(**data)


def read_record(cls: type[T], path: Path) -> T:
    """A dataclass from a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
        TypeError: see :func:`record_from`.
    """
    try:
        return record_from(cls, json.loads(path.read_text(encoding="utf-8")))
    except RecursionError as err:
        raise ValueError("nested too deeply") from err


def fits(value: Any, hint: Any) -> bool:
    """Whether plain data are of a declared type: a float may be a whole number, a tuple or another sequence a list.

    Other keys may stand beside those of a TypedDict.
    """
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in {typing.Union, types.UnionType}:
        return any(fits(value, option) for option in inside)
    if origin is typing.Literal:
        return value in inside
    if hint is None or hint is type(None):
        return value is None
    if hint is float or hint is int:
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    if typing.is_typeddict(hint):
        inner = typing.get_type_hints(hint)
        there = isinstance(value, dict) and hint.__required_keys__ <= value.keys()
        return there and all(fits(value[key], of) for key, of in inner.items() if key in value)
    kind = origin or hint
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return isinstance(value, dict) and all(fits(item, inside[1] if inside else Any) for item in value.values())
    if isinstance(kind, type) and issubclass(kind, Sequence) and kind is not str:
        return isinstance(value, list | tuple) and all(fits(item, inside[0] if inside else Any) for item in value)
    return isinstance(value, kind)
