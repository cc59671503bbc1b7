"""Does a backend compute what the reference computes? Asked of code that nobody has run on this machine before it is trusted."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from lfads_core.recurrence.choose import REFERENCE, Recurrence
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights
from lfads_core.rng import stream

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}
"""Differences up to here are rounding."""
REDUCED = {"tf32": 1e-2, "bf16": 5e-2}
"""The same where products see 11 or 8 digits of each factor: a few times what the interpreter's runs of the kernels come to."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One problem: a first axis of members, or none; the GRU may run in reverse."""

    members: tuple[int, ...]
    trials: int
    hidden: int
    controller: int
    reverse: bool


SIZES = (
    Size(members=(), trials=1, hidden=3, controller=6, reverse=False),
    Size(members=(2,), trials=19, hidden=101, controller=70, reverse=False),
    Size(members=(), trials=33, hidden=200, controller=64, reverse=True),
)
"""Sizes with tiles and pieces of products of every kind, whole ones and the rest."""


def difference(loops: Recurrence, dtype: torch.dtype, device: str = "cpu", *, reduced: bool = False) -> float:
    """The largest difference from the reference in outputs and gradients, of a tensor's largest entry or 1; infinite if anything is not finite.

    The reference computes in float64 on the CPU, which no switch of torch's reaches. Where products are of ``reduced`` precision
    the clip is out of reach: a state beside it falls on either side of it, and its gradient is all or nothing.
    """
    return max(
        relative(_results(getattr(loops, name), _cast(given, dtype, device), **how), _results(getattr(REFERENCE, name), given, **how))
        for size in SIZES
        for name, given in _problems(size).items()
        for how in [{"clip": 1e3 if reduced else 1.0, **({"reverse": size.reverse} if name == "gru" else {})}]
    )


def relative(got: list[Tensor], wanted: list[Tensor]) -> float:
    """The largest difference of any pair, of the wanted one's largest entry or 1. Comparisons with NaN are false, so that is made infinite first."""
    far = [
        ((one.detach().cpu().double() - other.double()).abs().max() / other.abs().max().clamp(min=1)) for one, other in zip(got, wanted, strict=True)
    ]
    return max(float(value) if math.isfinite(value) else math.inf for value in far)


def _problems(size: Size) -> dict[str, tuple[Any, ...]]:
    """Arguments of each loop, in float64 on the CPU; weights are as large as a model's at its start."""
    bins, inputs, factors, members, trials, hidden, control = 9, 2, 4, size.members, size.trials, size.hidden, size.controller
    draw = functools.partial(_normal, stream(0, "self-check", trials, hidden), members)

    def cell(reads: int, units: int) -> GRUWeights:
        scale = (reads + units) ** -0.5
        return GRUWeights(input=draw(3 * units, reads, scale=scale), recurrent=draw(3 * units, units, scale=scale), bias=draw(3 * units))

    plain = (draw(trials, bins, 5), draw(trials, hidden), cell(5, hidden))
    start = DecoderStart(generator=draw(trials, hidden), factors=draw(trials, factors), controller=draw(trials, control))
    drive = DecoderDrive(
        ci=draw(trials, bins, 4), external=draw(trials, bins, 1), noise=draw(trials, bins, inputs),
        con_mask=draw(trials, bins, 4 + factors).detach(), state_mask=draw(trials, bins, hidden).detach(),
    )  # fmt: skip
    weights = DecoderWeights(
        controller=cell(4 + factors, control),
        posterior=draw(2 * inputs, control, scale=control**-0.5),
        posterior_bias=draw(2 * inputs),
        generator=cell(inputs + 1, hidden),
        factors=draw(factors, hidden, scale=hidden**-0.5),
    )
    return {"gru": plain, "last": plain, "driven": (*plain, weights.factors), "controlled": (start, drive, weights)}


def _normal(rng: torch.Generator, members: tuple[int, ...], *shape: int, scale: float = 0.5) -> Tensor:
    return (scale * torch.randn(*members, *shape, generator=rng, dtype=torch.float64)).requires_grad_()


def _cast(value: Any, dtype: torch.dtype, device: str) -> Any:
    """The same numbers in another type elsewhere."""
    if isinstance(value, Tensor):
        return value.detach().to(device, dtype).requires_grad_(value.requires_grad)
    if isinstance(value, tuple):
        return tuple(_cast(one, dtype, device) for one in value)
    return None if value is None else replace(value, **{field.name: _cast(getattr(value, field.name), dtype, device) for field in fields(value)})


def _results(loop: Callable[..., Any], given: tuple[Any, ...], **how: Any) -> list[Tensor]:
    outputs = _tensors(loop(*given, **how))
    upstream = [torch.linspace(-1, 1, value.numel(), dtype=value.dtype, device=value.device).view(value.shape) for value in outputs]
    leaves = [value for value in _tensors(*given) if value.requires_grad]
    return [*(value.detach() for value in outputs), *torch.autograd.grad(outputs, leaves, upstream)]


def _tensors(*values: Any) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple):
            found += _tensors(*value)
        elif value is not None:
            found += _tensors(*(getattr(value, field.name) for field in fields(value)))
    return found
