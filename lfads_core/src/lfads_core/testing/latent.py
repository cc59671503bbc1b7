"""Laws of latents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractLatent, AbstractPrior, LatentInfo
from lfads_core.plugins.specs import LatentSpec
from lfads_core.rng import stream
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs, not_finite
from lfads_core.testing.sequence import BINS, TRIALS, WIDTH, SequenceCase, laws_of, members_differ
from lfads_core.trial.kinds import divergence_faults

LATER = 2
"""Bins that are reconstructed and not encoded."""


@dataclass(frozen=True)
class LatentCase(SequenceCase):
    """A latent with its settings."""

    def info(self) -> LatentInfo:
        """Small sizes; more bins are reconstructed than the encoders see."""
        return LatentInfo(width=WIDTH, bins=BINS + LATER, rng=stream(0, "latent"))

    def use(self, part: Any, x: Tensor) -> Tensor:
        """Means and log-variances."""
        found: Tensor = part(x)
        return found


def latent_case(spec: LatentSpec, settings: Any) -> LatentCase:
    """The case of a latent."""
    return LatentCase(spec, settings, AbstractLatent)


def _shape(part: AbstractLatent) -> tuple[int, ...]:
    return (TRIALS, *((BINS + LATER,) if part.per == "bin" else ()), part.size)


def _says(case: LatentCase) -> Iterator[str]:
    part = case.build()
    if type(getattr(part, "size", None)) is not int or part.size < 1:
        yield f"size must be a whole number above 0, got {getattr(part, 'size', None)!r}"
    if part.per not in ("trial", "bin") or part.enters not in ("generator", "initial"):
        yield f"per must be trial or bin, and enters generator or initial, got {part.per!r} and {part.enters!r}"
    if part.per == "bin" and part.enters == "initial":
        yield "a latent of each bin must enter 'generator', for there is one initial condition a trial"
    if not isinstance(getattr(part, "prior", None), AbstractPrior):
        yield f"prior must be an AbstractPrior, got a {type(getattr(part, 'prior', None)).__name__}"


def _shapes(case: LatentCase) -> Iterator[str]:
    part, x = case.build(), case.values()
    got, shape = part(x), _shape(part)
    wanted = (*shape[:-1], 2 * shape[-1])
    if got.shape != wanted or got.dtype != x.dtype:
        yield f"means and log-variances of {tuple(x.shape)} must be {x.dtype} {wanted}, got {got.dtype} {tuple(got.shape)}"
        return
    yield from differs("the posteriors of several trials and of each alone", got[:1], part(x[:1]))


def _prior(case: LatentCase) -> Iterator[str]:
    part = case.build()
    mean, log_var = part(case.values()).chunk(2, dim=-1)
    std = torch.exp(log_var / 2)
    draw = part.prior.draw(mean, stream(0, "draw"))
    kl, made = part.prior.kl(mean, std, draw), part.prior.generate(mean, stream(1))
    if kl.shape != (TRIALS,):
        yield f"the prior's kl must give one number per trial, {(TRIALS,)}, got {tuple(kl.shape)}"
    else:
        yield from not_finite("the divergence", kl)
        yield from (f"the prior's kl {fault}" for fault in divergence_faults(part.prior, mean, std))
    for what, value in (("standardise", part.prior.standardise(draw)), ("generate", made)):
        if value.shape != mean.shape:
            yield f"the prior's {what} must give {tuple(mean.shape)}, got {tuple(value.shape)}"


def _population(case: LatentCase) -> Iterator[str]:
    yield from members_differ(case.build(), "forward", {"x": case.values(3, TRIALS, BINS)})


LAWS = laws_of(
    "latent",
    (
        Law("it says what it is and where it enters", _says, essential=True),
        Law("shapes are right, and trials do not touch one another", _shapes, essential=True),
    ),
    (Law("its prior fits it", _prior), Law("a population gives each member its own", _population)),
)
