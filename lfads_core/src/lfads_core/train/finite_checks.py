"""Is every number of a step finite? Asked at once on a CPU, and once an epoch where every question would hold up the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lfads_core.errors import NumericsError
from lfads_core.model.lfads import LFADS
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

    @property
    def grad_norm(self) -> Float[Tensor, ""]:
        """Euclidean norm of all gradients together."""
        return self.values[len(self.terms)]

    def skip(self) -> Float[Tensor, ""]:
        """1 if anything is not finite, else 0; known to the device alone."""
        return (~torch.isfinite(self.values).all()).to(torch.float32)

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
    priced = torch.stack([value.detach().to(each.dtype) for value in terms.values()])
    values = torch.cat([priced, torch.linalg.vector_norm(each).unsqueeze(0), each])
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
        known = self.kept.get(check.terms)
        if known is not None:
            values = torch.where(torch.isfinite(known.values).all(), check.values, known.values)
            check = StepCheck(epoch=check.epoch, terms=check.terms, parameters=check.parameters, values=values)
        self.kept[check.terms] = check

    def require(self) -> None:
        """Look at what is kept and forget it.

        Raises:
            NumericsError: a step since the last look was not finite.
        """
        kept, self.kept = self.kept, {}
        for check in kept.values():
            check.require()


def _terms(losses: Losses) -> dict[str, Tensor]:
    """Sessions first where there are several, for they say more."""
    sessions = {f"recon/{name}": value for name, value in losses.per_session.items() if len(losses.per_session) > 1}
    return {**sessions, **losses.terms()}


def _term_text(epoch: int, name: str, value: float) -> str:
    return f"epoch {epoch}: the loss term '{name}' must be finite, got {value}."
