"""What must hold for the calls of encoders, generators and latents beyond what their contracts' annotations say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractEncoder, AbstractGenerator, GRUWeights
from lfads_core.recurrence import reference
from lfads_core.rng import stream
from lfads_core.trial.observed import Method
from lfads_core.trial.shapes import Sizes
from lfads_core.trial.trees import a_value

_BINS = 4
"""Bins of a stream that are tried: without a memory of its own an encoder reads everything anew in each."""


def states_faults(method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    """Whether a direction knows bins that it has not read, and whether a stream of bins gives the same states."""
    x = next(iter(given.values())).detach()
    bins, part = x.shape[-2], method.part
    with torch.no_grad():
        for changed in sorted({1, bins - 2} & set(range(1, bins))):
            other = x.clone()
            other[..., changed, :] = 2 * other[..., changed, :] + 1
            got = method.call(other)
            for way, before in enumerate((changed, bins - 1 - changed)[: len(result)]):
                if not _near(got[way][..., :before, :], result[way][..., :before, :]):
                    order = "the second direction, which begins with the last bin," if way else "a direction"
                    yield f"must give states of bins that have been read, but {order} knows a later one"
                    return
        if part.directions == 1 and x.dim() == 3 and type(part).listen is not AbstractEncoder.listen:
            memory = None
            for t in range(min(bins, _BINS)):
                state, memory = part.listen(x[:, t], memory)
                if not isinstance(state, Tensor) or state.shape != result[0, :, t].shape or not _near(state, result[0, :, t]):
                    yield "must give the states that listen gives bin by bin, got others"
                    return


def run_faults(method: Method, given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    """Whether a loop of one's own gives what its steps give, bounded."""
    part = method.part
    if type(part).run is AbstractGenerator.run:
        return
    with torch.no_grad():
        if not _near(result, AbstractGenerator.run(part, **given)):
            yield "must give what its steps give, each bounded by clip, got something else"


def gru_faults(method: Method, _given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    """Whether weights for the fast loops are those of a step."""
    if result is None:
        return
    if not isinstance(result, GRUWeights):
        yield f"must give GRUWeights, or None, got {a_value(result)}"
        return
    shapes = {name: tuple(getattr(result, name).shape) for name in ("input", "recurrent", "bias")}
    rows, size = shapes["recurrent"] if len(shapes["recurrent"]) == 2 else (0, 0)
    if rows != 3 * size or shapes["bias"] != (rows,) or len(shapes["input"]) != 2 or shapes["input"][0] != rows:
        yield f"must give the shapes (3H, I), (3H, H) and (3H) of input, recurrent and bias, got {', '.join(map(str, shapes.values()))}"
        return
    chance, like = stream(0, "trial", device=result.bias.device), result.bias.detach()
    state, inputs = (like.new_empty(2, width).normal_(generator=chance) for width in (size, shapes["input"][1]))
    with torch.no_grad():
        if not _near(method.part.step(state, inputs), reference.gru(inputs.unsqueeze(1), state, result, clip=torch.inf)[:, 0]):
            yield "must give None unless a step is that of core's GRU with these weights, but it is another"


def kernels_faults(_method: Method, _given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    """Whether the L2 term can count them."""
    if not isinstance(result, list | tuple) or not all(isinstance(kernel, Tensor) for kernel in result):
        got = next((kernel for kernel in result if not isinstance(kernel, Tensor)), None) if isinstance(result, list | tuple) else result
        yield f"must give a list of tensors, got {a_value(got)}{' in it' if got is not result else ''}"


def posterior_faults(method: Method, _given: Mapping[str, Any], result: Any, _sizes: Sizes) -> Iterator[str]:
    """Whether there is one posterior of what there is one of."""
    per = method.part.per
    if result.dim() != (3 if per == "bin" else 2):
        yield f"must give a row for each {per}, as its attribute per={per!r} says, got the shape {tuple(result.shape)}"
    log_var = result.detach().chunk(2, dim=-1)[1]
    if bool(torch.isfinite(log_var).all()) and not bool(torch.isfinite(torch.exp(log_var / 2)).all()):
        yield f"must give log-variances, so that exp of half of them is a number, got {log_var.max().item():.4g}"


def _near(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    size = float(other.detach().abs().nan_to_num(0.0, posinf=0.0).max()) if other.numel() else 0.0
    return torch.allclose(one.detach(), other.detach(), rtol=1e-3, atol=1e-5 * size + 1e-12, equal_nan=True)
