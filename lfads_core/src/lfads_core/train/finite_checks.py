"""Is every number of a step finite? Asked at once on a CPU, and once an epoch where every question would hold up the device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lfads_core.errors import NumericsError
from lfads_core.model.lfads import LFADS
from lfads_core.model.rows import joined
from lfads_core.objective.total import Losses
from lfads_core.train.optim import gradient_norms

ASKED_AT_ONCE = ("cpu", "mps")
"""Devices whose numbers the host looks at in every step; elsewhere a bad step is skipped by the device itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepCheck:
    """All numbers of one step that must be finite: the terms of the loss, the norm of the gradient, and of each parameter's."""

    epoch: int
    terms: tuple[str, ...]
    parameters: tuple[str, ...]
    values: Float[Tensor, " K"]  # terms, then the whole gradient, then the parameters

    @cached_property
    def bad(self) -> Bool[Tensor, ""]:
        """Whether anything is not finite; known to the device alone. A number less itself is 0 if it is finite, else NaN."""
        return (self.values - self.values).sum() != 0

    @property
    def grad_norm(self) -> Float[Tensor, ""]:
        """Euclidean norm of all gradients together."""
        return self.values[len(self.terms)]

    def skip(self) -> Float[Tensor, ""]:
        """1 if anything is not finite, else 0; known to the device alone."""
        return self.bad.to(torch.float32)

    def require(self) -> None:
        """Wait for the device and look.

        Raises:
            NumericsError: something is not finite; the first that is not is named.
        """
        if bool(torch.isfinite(self.values).all()):
            return
        values = self.values.tolist()
        bad = [not torch.isfinite(torch.tensor(value)) for value in values]
        norm = len(self.terms)
        if any(bad[:norm]):
            raise NumericsError(_term_text(self.epoch, self.terms[bad.index(True)], values[bad.index(True)]))
        culprit = f"'{self.parameters[bad.index(True, norm + 1) - norm - 1]}'" if any(bad[norm + 1 :]) else "the sum over all parameters"
        raise NumericsError(f"epoch {self.epoch}: the gradient must be finite, got {values[norm]} from {culprit}.")


def step_check(model: LFADS, losses: Losses, epoch: int) -> StepCheck:
    """Gather a step's numbers after the backward pass."""
    terms, norms = _terms(losses), gradient_norms(model)
    each = torch.stack(list(norms.values())) if norms else losses.total.detach().new_zeros(1)
    sessions = [value.unsqueeze(0) for name, value in terms.items() if name.startswith("recon/")]
    priced = [*sessions, losses.vector, losses.total.unsqueeze(0)]
    values = torch.cat([*(value.detach().to(each.dtype) for value in priced), torch.linalg.vector_norm(each).unsqueeze(0), each])
    return StepCheck(epoch=epoch, terms=tuple(terms), parameters=tuple(norms), values=values)


def require_finite(losses: Losses, epoch: int) -> None:
    """Name the first term that is not finite, before a backward pass is spent on it; where that would hold up the device, do nothing.

    Raises:
        NumericsError: there is one.
    """
    if losses.total.device.type not in ASKED_AT_ONCE or torch.isfinite(losses.total):
        return
    for name, value in _terms(losses).items():
        if not torch.isfinite(value):
            raise NumericsError(_term_text(epoch, name, value.item()))


def require_finite_costs(costs: Mapping[str, float], judge: str, epoch: int) -> None:
    """Name the first term of a validation that is not finite; of several sessions' terms first, for they say more.

    Raises:
        NumericsError: there is one.
    """
    parts = ("recon/", "loss/", "latent/", f"{judge}/")
    for name in (*(name for name in costs if name.startswith(parts)), "recon", "ic_kl", "input_kl", "l2", "total", judge):
        if not math.isfinite(costs[name]):
            raise NumericsError(f"epoch {epoch}: the validation term '{name}' must be finite, got {costs[name]}.")


class EpochCheck:
    """The first bad step of an epoch, kept on the device until somebody asks."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, ...], StepCheck] = {}

    def add(self, check: StepCheck) -> None:
        """Take one step's numbers, unless worse ones are kept already."""
        add_checks([self], [check])

    def require(self) -> None:
        """Look at what is kept and forget it.

        Raises:
            NumericsError: a step since the last look was not finite.
        """
        kept, self.kept = self.kept, {}
        for check in kept.values():
            check.require()


def add_checks(kept: Sequence[EpochCheck], checks: Sequence[StepCheck]) -> None:
    """:meth:`EpochCheck.add` of several members at once."""
    known = [of.kept.get(check.terms) for of, check in zip(kept, checks, strict=True)]
    before = [of for of in known if of is not None]
    if len(before) == len(checks):
        was, now = joined([of.bad for of in before]), joined([of.bad for of in checks])
        values = torch.where(was.unsqueeze(1), joined([of.values for of in before]), joined([of.values for of in checks]))
        rows = zip(checks, values.unbind(), (was | now).unbind(), strict=True)
        checks = [with_bad(replace(check, values=row), bad) for check, row, bad in rows]
    elif before:
        for of, check in zip(kept, checks, strict=True):
            add_checks([of], [check])
        return
    for of, check in zip(kept, checks, strict=True):
        of.kept[check.terms] = check


def with_bad(check: StepCheck, bad: Bool[Tensor, ""]) -> StepCheck:
    """A check of which it is known whether anything is not finite."""
    vars(check)["bad"] = bad
    return check


def term_names(losses: Losses) -> tuple[str, ...]:
    """Names of what is looked at, in order."""
    return tuple(_terms(losses))


def _terms(losses: Losses) -> dict[str, Tensor]:
    """Sessions first where there are several, for they say more."""
    sessions = {f"recon/{name}": value for name, value in losses.per_session.items() if len(losses.per_session) > 1}
    return {**sessions, **losses.terms()}


def _term_text(epoch: int, name: str, value: float) -> str:
    return f"epoch {epoch}: the loss term '{name}' must be finite, got {value}."
