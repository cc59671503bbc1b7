"""Numbers that must agree: finite, within six standard errors, equal to finite differences, the same in a population."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

_SIX = 6.0  # standard errors: chance exceeds them once in 5e8 times


def not_finite(what: str, values: Tensor, **where: Tensor) -> Iterator[str]:
    """Say how many values are not finite, and at which inputs the first of them stands; ``where`` is flattened like ``values``."""
    bad = ~values.isfinite()
    if bad.any():
        first = int(bad.reshape(-1).nonzero()[0])
        at = ", ".join(f"{name} {_plain(x.detach().reshape(values.numel(), -1)[first])}" for name, x in where.items())
        text = f"{what} is {values.reshape(-1)[first].item():g}"
        yield f"{text} at {at} ({int(bad.sum())} such values)" if at else f"{text} in {int(bad.sum())} of {values.numel()} values"


def mean_differs(what: str, draws: Tensor, expected: Tensor | float, slack: float = 1e-6) -> Iterator[str]:
    """Say where the mean of ``draws`` over the first axis is more than six standard errors from ``expected``."""
    mean, error = draws.mean(0), draws.std(0) / len(draws) ** 0.5
    wanted = torch.as_tensor(expected, dtype=mean.dtype).expand(mean.shape)
    distance = (mean - wanted).abs()
    far = distance > _SIX * error + slack * (1 + wanted.abs())
    if far.any() or not mean.isfinite().all():
        worst = int((distance / (error + slack)).nan_to_num(torch.inf).reshape(-1).argmax())
        got, want, by = (x.reshape(-1)[worst].item() for x in (mean, wanted, error))
        yield f"{what} must be {want:.4g}, got {got:.4g} +- {by:.2g} over {len(draws)} draws"


def differs(what: str, got: Tensor, wanted: Tensor, rtol: float = 1e-9, atol: float = 1e-9) -> Iterator[str]:
    """Say by how much two tensors differ."""
    if got.shape != wanted.shape:
        yield f"{what} must have the shape {tuple(wanted.shape)}, got {tuple(got.shape)}"
    elif not torch.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=True):
        yield f"{what} differ by up to {(got - wanted).abs().max().item():.2g}"


def gradient_differs(what: str, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Iterator[str]:
    """Say whether gradients differ from finite differences; inputs are float64 leaves. Constant functions have none."""
    if not function(*inputs).requires_grad:
        return
    try:
        torch.autograd.gradcheck(function, tuple(inputs))
    except RuntimeError as err:  # gradcheck's own way to say no
        yield f"the gradient of {what} must be that of finite differences, got {' '.join(str(err).split())[:200]}"


def trained(part: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes."""
    return [value for value in part.parameters() if value.requires_grad]


def _plain(values: Tensor) -> str:
    numbers = [f"{x:g}" for x in values.tolist()]
    return numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers)}]"
