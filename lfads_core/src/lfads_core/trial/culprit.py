"""Who spoilt a step: the component in which numbers that were finite stop being so, found by a second pass over the same batch and noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lfads_core.augment.stack import AugmentationStack
from lfads_core.errors import LfadsError
from lfads_core.model.rows import mapped, tensors_in
from lfads_core.trial.calls import ONE_AT_A_TIME, Trial
from lfads_core.trial.observed import Method, components_of, watched


@dataclass(eq=False)
class _Seen:
    """One call, and whether what went in and came out was finite, there and back."""

    method: Method
    inputs: bool
    outputs: bool
    back_in: list[bool] = field(default_factory=list)  # gradients that reach the call
    back_out: list[bool] = field(default_factory=list)  # gradients that leave it

    @property
    def spoils(self) -> str | None:
        """What it makes of finite numbers that is none."""
        if not self.inputs:
            return None
        if not self.outputs:
            return "gives numbers that are not finite"
        own = [x.grad for x in self.method.part.parameters() if x.grad is not None] if isinstance(self.method.part, nn.Module) else []
        if self.back_in and all(self.back_in) and not (all(self.back_out) and _finite(own)):
            return "has gradients that are not finite"
        return None


class _Taps:
    """Makes each call as it is, with an ear on the gradients of what goes in and comes out."""

    def __init__(self) -> None:
        self.calls: list[_Seen] = []

    def __call__(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        seen = _Seen(method, inputs=_finite([args, kwargs]), outputs=True)
        self.calls.append(seen)
        args, kwargs = (mapped(given, lambda x: _tapped(x, seen.back_out)) for given in (args, kwargs))
        result = method.call(*args, **kwargs)
        seen.outputs = _finite(result)
        return mapped(result, lambda x: _tapped(x, seen.back_in))


def who_spoilt(model: nn.Module, stacks: Sequence[AugmentationStack], price: Callable[[], Tensor]) -> str | None:
    """Name the component that makes something of finite numbers that is none; None if no component does.

    ``price`` makes the pass again and returns its loss. Gradients are left at zero.
    """
    taps = _Taps()
    model.zero_grad()
    try:
        with watched(components_of(model, stacks), taps):
            price().backward()
        found = next((f"It comes from {seen.method}, which {text}." for seen in taps.calls if (text := seen.spoils) is not None), None)
    except (Exception, SystemExit):  # noqa: BLE001 - what fails now is told by whoever made the step
        found = None
    model.zero_grad()
    return found


def who_fails(model: nn.Module, stacks: Sequence[AugmentationStack], price: Callable[[], Tensor]) -> LfadsError | None:
    """The sentence for a component through which no way leads back, though autograd does not say where it failed; None if there is none."""
    try:
        with ONE_AT_A_TIME, watched(components_of(model, stacks), Trial({})):
            price()
    except LfadsError as err:
        return err
    except (Exception, SystemExit):  # noqa: BLE001 - no component's
        return None
    return None


def _tapped(value: Tensor, finite: list[bool]) -> Tensor:
    if not value.requires_grad:
        return value
    tapped = value.view_as(value)
    tapped.register_hook(lambda slope: finite.append(bool(torch.isfinite(slope).all())))
    return tapped


def _finite(given: Any) -> bool:
    return all(bool(torch.isfinite(x.detach()).all()) for x in tensors_in(given) if x.is_floating_point())
