"""Does a backend compute what the reference computes? Asked of code that nobody has run on this machine before it is trusted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from lfads_core.recurrence.choose import REFERENCE, Recurrence
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights
from lfads_core.rng import stream

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}
"""Differences up to here are rounding."""


def difference(loops: Recurrence, dtype: torch.dtype, device: str = "cpu") -> float:
    """The largest difference from the reference in outputs and gradients, of a tensor's largest entry or 1, over sizes with tiles of every kind."""
    worst = 0.0
    for trials, hidden in ((1, 3), (19, 21), (33, 40)):
        rng = stream(0, "self-check", trials, hidden)
        draw = functools.partial(_normal, rng, dtype, device)
        cell = GRUWeights(input=draw(3 * hidden, 5), recurrent=draw(3 * hidden, hidden), bias=draw(3 * hidden))
        plain = (draw(trials, 4, 5), draw(trials, hidden), cell)
        start = DecoderStart(generator=draw(trials, hidden), factors=draw(trials, 4), controller=draw(trials, 6))
        drive = DecoderDrive(
            ci=draw(trials, 9, 4), external=draw(trials, 9, 1), noise=draw(trials, 9, 2), state_mask=draw(trials, 9, hidden).detach()
        )
        weights = DecoderWeights(
            controller=GRUWeights(input=draw(18, 8), recurrent=draw(18, 6), bias=draw(18)),
            posterior=draw(4, 6),
            posterior_bias=draw(4),
            generator=GRUWeights(input=draw(3 * hidden, 3), recurrent=draw(3 * hidden, hidden), bias=draw(3 * hidden)),
            factors=draw(4, hidden),
        )
        calls: dict[str, tuple[Any, ...]] = {
            "gru": plain,
            "last": plain,
            "driven": (*plain, weights.factors),
            "controlled": (start, drive, weights),
        }
        for name, given in calls.items():
            ours, theirs = getattr(loops, name), getattr(REFERENCE, name)
            for got, wanted in zip(_results(ours, given), _results(theirs, given), strict=True):
                worst = max(worst, float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1)))
    return worst


def _normal(rng: torch.Generator, dtype: torch.dtype, device: str, *shape: int) -> Tensor:
    return (torch.randn(*shape, generator=rng, dtype=torch.float64) / 2).to(device, dtype).requires_grad_()


def _results(loop: Callable[..., Any], given: tuple[Any, ...]) -> list[Tensor]:
    outputs = _tensors(loop(*given, clip=1.0))
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
