"""What the annotations of a contract say about shapes, read when a component is tried: ``"*B T N P"`` against the tensors of a call."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from torch import Tensor

_SEVERAL = ("*", "...")
_OR = " | "
Sizes = dict[str, int | tuple[int, ...]]
"""Lengths of axes by their letter; of several axes by ``*`` and it."""


@cache
def letters(function: Callable[..., Any]) -> Mapping[str, str]:
    """Letters of every argument of a contract's function, and of what it returns, that is annotated with a shape of a tensor, or with several."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - a stranger's contract may name what is not imported at run time
        return {}
    found = {name: [getattr(one, "dim_str", None) for one in _alternatives(hint)] for name, hint in hints.items()}
    return {name: _OR.join(str(text).strip() for text in texts) for name, texts in found.items() if None not in texts}


def may_be_none(function: Callable[..., Any]) -> bool:
    """Whether a contract's function need not give anything."""
    written = function.__annotations__.get("return")
    return written is None or "None" in str(written)


def _alternatives(hint: Any) -> list[Any]:
    several = [part for part in typing.get_args(hint) if part is not type(None)]
    return several if typing.get_origin(hint) in {typing.Union, types.UnionType} else [hint]


def sizes_of(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Sizes:
    """What each letter stands for in this call; ``B`` is the first axis of the first tensor where no annotation says it."""
    sizes: Sizes = {}
    for name, text in letters(function).items():
        value = arguments.get(name)
        if name != "return" and isinstance(value, Tensor):
            sizes |= _bound(text.split(), tuple(value.shape))
    first = next((value for value in arguments.values() if isinstance(value, Tensor) and value.ndim), None)
    return sizes if first is None else {"B": first.shape[0], **sizes}


def _bound(names: list[str], shape: tuple[int, ...]) -> Sizes:
    several = next((i for i, name in enumerate(names) if name.startswith(_SEVERAL)), None)
    if several is None:
        return dict(zip(names, shape, strict=True)) if len(names) == len(shape) else {}
    left, right = names[:several], names[several + 1 :]
    end = len(shape) - len(right)
    if end < len(left):
        return {}
    ends = {**dict(zip(left, shape, strict=False)), **dict(zip(right, shape[end:], strict=True))}
    return {**ends, names[several]: shape[len(left) : end]}


def misfit(text: str, sizes: Sizes, shape: tuple[int, ...]) -> str | None:
    """The shape that must hold, in letters and numbers, if this one is another; None if it fits. Letters without a size fit any."""
    if _OR in text:
        found = [misfit(one, sizes, shape) for one in text.split(_OR)]
        return None if None in found else " or ".join(filter(None, found))
    names = text.split()
    if any(name.startswith(_SEVERAL) and name not in sizes for name in names):
        return None
    wanted: list[int | str] = []
    for name in names:
        size = sizes.get(name, name)
        wanted += size if isinstance(size, tuple) else [size]
    if len(wanted) == len(shape) and all(size == axis or isinstance(size, str) for size, axis in zip(wanted, shape, strict=True)):
        return None
    return f"({', '.join(names)}) = ({', '.join(map(str, wanted))})"


def bound_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the contract's names; by their places where they do not fit it."""
    try:
        bound = dict(inspect.signature(function).bind(None, *args, **kwargs).arguments)
    except TypeError:
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    bound.pop(next(iter(bound)))
    return bound
