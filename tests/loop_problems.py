"""Small problems for loops over time, and what comes of them: shared by tests of the kernels."""
# ruff: noqa: E501 - tables

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from lfads_core.recurrence import triton_controlled, triton_gru
from lfads_core.recurrence.triton_tiles import Tiles
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights

OF_PIECES = Tiles(rows=16, widest=16, depth=32, warps=4, stages=2)
WHOLE = replace(OF_PIECES, widest=64)  # a block must be one tile to be held
SMALL = {  # several tiles and programs even for odd little sizes
    "ieee": Tiles(rows=2, widest=16, depth=2, warps=1, stages=1),
    "read": OF_PIECES,
    "held": replace(WHOLE, held=(255, 255)),
    "some held": replace(WHOLE, held=(0b011001, 0b10100101)),
    "many rows": replace(OF_PIECES, rows=32),
}
"""Tiles by name: how weights come to the products, of each kind that is chosen."""
DOUBLE, SINGLE = torch.float64, torch.float32
WAYS = [
    ("ieee", DOUBLE, "ieee"), ("ieee", SINGLE, "ieee"), ("tf32", SINGLE, "read"), ("tf32", SINGLE, "held"),
    *(("bf16", SINGLE, name) for name in SMALL if name != "ieee"),
]  # fmt: skip
"""Arithmetic of the products, type of the data, tiles."""
WATCHED = [("ieee", DOUBLE, "ieee"), *(("bf16", SINGLE, name) for name in SMALL if name != "ieee")]
"""Those that read and write at other places."""


def small_tiles(monkeypatch, name):
    for module in (triton_gru, triton_controlled):
        monkeypatch.setattr(module, "choose_tiles", lambda **_: SMALL[name])


@dataclass
class Driven:
    """What a GRU reads."""

    x: torch.Tensor
    h0: torch.Tensor


def normal(rng, *shape, scale=1.0):
    return (scale * torch.randn(*shape, generator=rng, dtype=torch.float64)).requires_grad_()


def gru_weights(rng, inputs, hidden, members=()):
    scale = (inputs + hidden) ** -0.5
    sizes = (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,)
    one, two, three = (normal(rng, *members, *size, scale=scale) for size in sizes)
    return GRUWeights(input=one, recurrent=two, bias=three)


def moved(record, change):
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return type(record)(**{
        name: moved(value, change) if isinstance(value, GRUWeights) else value if value is None else change(value) for name, value in values.items()
    })  # fmt: skip


def leaves(*records):
    for record in records:
        for field in fields(record):
            value = getattr(record, field.name)
            if isinstance(value, GRUWeights):
                yield from leaves(value)
            elif value is not None and value.requires_grad:
                yield value


def outcome(run, *records):
    """Outputs, then the gradients of a number that every entry of them moves differently."""
    out = run(*records)
    out = [out] if isinstance(out, torch.Tensor) else [getattr(out, field.name) for field in fields(out)]
    total = sum((value * torch.linspace(-1, 1, value.numel(), dtype=value.dtype, device=value.device).view(value.shape)).sum() for value in out)
    inputs = list(leaves(*records))
    grads = torch.autograd.grad(total, inputs, allow_unused=True)
    return [*out, *(torch.zeros_like(value) if grad is None else grad for value, grad in zip(inputs, grads, strict=True))]


def loop_arguments(rng, members=(), *, external=0, noise=True, masks=True):
    B, T, C, U, H, G, F = 3, 2, 2, 2, 5, 19, 3

    def mask(width):
        return (torch.rand(*members, B, T, width, generator=rng, dtype=torch.float64) > 0.3) / 0.7 if masks else None

    start = DecoderStart(generator=normal(rng, *members, B, G), factors=normal(rng, *members, B, F), controller=normal(rng, *members, B, H))
    drive = DecoderDrive(
        ci=normal(rng, *members, B, T, 2 * C), external=normal(rng, *members, B, T, external), noise=normal(rng, *members, B, T, U) if noise else None,
        con_mask=mask(2 * C + F), state_mask=mask(G),
    )  # fmt: skip
    weights = DecoderWeights(
        controller=gru_weights(rng, 2 * C + F, H, members), posterior=normal(rng, *members, 2 * U, H, scale=0.4),
        posterior_bias=normal(rng, *members, 2 * U, scale=0.4), generator=gru_weights(rng, U + external, G, members), factors=normal(rng, *members, F, G, scale=0.3),
    )  # fmt: skip
    return start, drive, weights
