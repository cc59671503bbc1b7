"""Members' tensors as rows of one, and the tensors in mappings, sequences and dataclasses such as a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def joined(rows: Sequence[Tensor]) -> Tensor:
    """The rows along a first axis: where they are evenly spaced parts of one tensor that knows no gradient, that is a view of it."""
    first = rows[0]
    if len(rows) == 1 or not any(row.numel() for row in rows):
        return first.unsqueeze(0).expand(len(rows), *first.shape)
    base = first._base  # noqa: SLF001 - what a view is a view of
    if base is None or first.requires_grad or any(row._base is not base or row.stride() != first.stride() for row in rows):  # noqa: SLF001
        return torch.stack(list(rows))
    places = [row.storage_offset() for row in rows]
    step = places[1] - places[0]
    if step < 0 or any(row.shape != first.shape for row in rows) or places != [places[0] + i * step for i in range(len(rows))]:
        return torch.stack(list(rows))
    return torch.as_strided(base, (len(rows), *first.shape), (step, *first.stride()), places[0])


def joined_records(records: Sequence[T], join: Callable[[Sequence[Tensor]], Tensor] | None = None) -> T:
    """Records of one form as one, every tensor joined, by :func:`joined` unless ``join`` is given; what is no tensor is the first's."""
    columns = iter([(join or joined)(column) for column in zip(*map(tensors_in, records), strict=True)])
    whole: T = mapped(records[0], lambda _: next(columns))
    return whole


def parted(record: T, members: int) -> list[T]:
    """The opposite: a record of joined tensors as one for each member."""
    columns = [tensor.unbind(0) for tensor in tensors_in(record)]
    rows = [iter([column[i] for column in columns]) for i in range(members)]
    return [mapped(record, lambda _, row=row: next(row)) for row in rows]  # type: ignore[misc]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor changed; what is of no kind known here is left as it is."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(part, change) for key, part in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(mapped(part, change) for part in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: mapped(getattr(value, field.name), change) for field in fields(value) if field.init})
    return value
