"""Equality of whatever components hold, and what chance shared by the whole process was used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal bit by bit; NaN equals NaN, modules are equal in type and in all they hold."""
    if (type(one).__module__, type(one).__qualname__) != (type(other).__module__, type(other).__qualname__):
        return False  # by name: a class inside of a function is another one at each call
    if isinstance(one, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.isnan(), other.isnan()) and _equal(one, other)
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, nn.Module):
        return same(vars(one), vars(other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if attrs.has(type(one)):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in attrs.fields(type(one)) if field.eq)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    plain = getattr(type(one), "__eq__", None) is getattr(object, "__eq__", None)  # compared by identity, which copies never are
    if hasattr(one, "__dict__") and plain and not callable(one):
        return same(vars(one), vars(other))
    return callable(one) or bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - NaN


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(0.0), other.nan_to_num(0.0)) if one.is_floating_point() else torch.equal(one, other)


@contextmanager
def no_shared_chance(during: str, faults: list[str]) -> Iterator[None]:
    """Note a fault if torch's or NumPy's global generator is used; both are put back as they were.

    Python's own is left out: type checkers at run time use it. What depends on it differs from call to call, which other laws see.
    """
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002 - to see that nobody uses it
    try:
        yield
    finally:
        if not torch.equal(torch_state, torch.get_rng_state()):
            faults.append(f"{during} used torch's global generator")
        if not same(numpy_state, np.random.get_state()):  # noqa: NPY002
            faults.append(f"{during} used numpy's global generator")
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
