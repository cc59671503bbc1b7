"""Laws of alignments, beside those of losses, which they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractAlignment, Latents
from lfads_core.model.rows import mapped
from lfads_core.plugins.specs import AlignmentSpec
from lfads_core.testing.built import build_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.loss import COMMON_LAWS, info_of_kit, seen_by
from lfads_core.trial.compare import same


@dataclass(frozen=True)
class AlignmentCase:
    """An alignment with its settings."""

    spec: AlignmentSpec
    settings: Any

    def fresh(self, extras: Any = None) -> AbstractAlignment:
        """As the framework builds it."""
        return self.spec.build(self.spec.config() if self.settings is None else self.settings, info_of_kit(extras))

    def build(self) -> AbstractAlignment:
        """In float64, with latents it met."""
        part = self.fresh().double()
        part.meet(latents_of_kit(part))
        return part


def latents_of_kit(part: AbstractAlignment) -> Latents:
    """Some latents."""
    return seen_by(part).latents


def moved(latents: Latents) -> Latents:
    """The same elsewhere, and three times as wide."""
    there: Latents = mapped(latents, lambda x: 3 * x + 5)
    return there


def _built(case: AlignmentCase) -> Iterator[str]:
    return build_faults(case.fresh, AbstractAlignment)


def _single(case: AlignmentCase) -> Iterator[str]:
    part = case.build()
    found = part.distance(latents_of_kit(part))
    if not isinstance(found, Tensor) or found.shape != ():
        yield f"distance() must give a tensor of one number, got {tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__}"


def _nearest(case: AlignmentCase) -> Iterator[str]:
    part = case.build()
    met = latents_of_kit(part)
    here, there = float(part.distance(met)), float(part.distance(moved(met)))
    if here < 0 or there < 0:
        yield f"a distance must not be below 0, got {min(here, there):.3g}"
    if not here < there:
        yield f"latents that it met must be nearer than others that are elsewhere, got {here:.3g} and {there:.3g}"


def _kept(case: AlignmentCase) -> Iterator[str]:
    part, other = case.build(), case.fresh().double()
    other.load_state_dict(part.state_dict())
    elsewhere = moved(latents_of_kit(part))
    if not torch.equal(part.distance(elsewhere), other.distance(elsewhere)):
        yield "what it met must stand in its buffers, but another with the same state_dict() finds another distance"


def _untouched(case: AlignmentCase) -> Iterator[str]:
    part = case.fresh().double()
    given, kept = latents_of_kit(part), latents_of_kit(part)
    part.meet(given)
    part.distance(given)
    if not same(given, kept):
        yield "latents must not be changed in place"


LAWS: tuple[Law[Any], ...] = (
    Law("building gives an equal alignment each time", _built, essential=True),
    Law("a distance is a single number", _single, essential=True),
    Law("what it met is nearest", _nearest),
    Law("what it met stays with its weights", _kept),
    Law("what it meets stays as it is", _untouched),
    *COMMON_LAWS,
)
