"""Copies of what calls hand over, and where its gradients end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lfads_core.model.rows import mapped, tensors_in


def copied(value: Any) -> Any:
    """A copy whose tensors share no memory; those that carry a gradient begin a new one. Random generators are copied in their state."""
    if isinstance(value, torch.Generator):
        twin = torch.Generator(value.device)
        twin.set_state(value.get_state())
        return twin
    if isinstance(value, Mapping):
        return {key: copied(part) for key, part in value.items()}
    return mapped(value, lambda x: x.detach().clone().requires_grad_(x.requires_grad))


def of_trials(value: Any, trials: int, change: Callable[[Tensor], Tensor]) -> Any:
    """A record with a change made to what has a row for each trial, such as to leave some out; the rest is as it was."""
    return mapped(value, lambda x: change(x) if x.shape[:1] == (trials,) else x)


def held(part: Any, seen: frozenset[int] = frozenset()) -> Any:
    """What an object holds, copied as it is now, so that it can be compared later; functions are left out."""
    if id(part) in seen:
        return None
    within = seen | {id(part)}
    if isinstance(part, Tensor):
        return part.detach().clone()
    if isinstance(part, nn.Module) or (not seen and hasattr(part, "__dict__")):
        return held({key: value for key, value in vars(part).items() if isinstance(value, nn.Module) or not callable(value)}, within)
    if isinstance(part, Mapping):
        return {key: held(value, within) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [held(value, within) for value in part]
    return part


def leaves_of(result: Any) -> Iterator[Tensor]:
    """Every tensor at which the gradient of a result ends."""
    seen: set[Any] = set()
    left = [x.grad_fn for x in tensors_in(result) if x.grad_fn is not None]
    while left:
        node: Any = left.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        left += [after for after, _ in node.next_functions if after is not None]


def a_value(value: object) -> str:
    """What something is, in a message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return (
        repr(value)[:60] if value is None or isinstance(value, int | float | str | type) else f"a {type(value).__module__}.{type(value).__qualname__}"
    )
