"""Laws of encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractEncoder, EncoderInfo
from lfads_core.errors import LfadsError
from lfads_core.plugins.specs import EncoderSpec
from lfads_core.rng import stream
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs
from lfads_core.testing.sequence import BINS, SIZE, TRIALS, WIDTH, SequenceCase, kernel_faults, laws_of, members_differ


@dataclass(frozen=True)
class EncoderCase(SequenceCase):
    """An encoder that reads in both directions, or forwards alone."""

    causal: bool = False

    def info(self) -> EncoderInfo:
        """Small sizes."""
        return EncoderInfo(width=WIDTH, hidden=SIZE, causal=self.causal, rng=stream(0, "encoder"))

    def use(self, part: Any, x: Tensor) -> Tensor:
        """States."""
        found: Tensor = part(x)
        return found


def encoder_case(spec: EncoderSpec, settings: Any) -> EncoderCase:
    """The case of an encoder."""
    return EncoderCase(spec, settings, AbstractEncoder)


def _cases(case: EncoderCase) -> Iterator[tuple[str, EncoderCase]]:
    """The ways in which it can be built."""
    yield "", case
    if case.spec.causal:
        yield "built to read forwards alone, ", EncoderCase(case.spec, case.settings, case.contract, causal=True)


def _shapes(case: EncoderCase) -> Iterator[str]:
    for when, one in _cases(case):
        part = one.build()
        for name in ("size", "directions", "features"):
            value = getattr(part, name, None)
            if type(value) is not int or value < 1:
                yield f"{when}{name} must be a whole number above 0, got {value!r}"
                return
        if part.directions not in ((1,) if one.causal else (1, 2)):
            yield f"{when}directions must be {'1' if one.causal else '1 or 2'}, got {part.directions}"
        x = one.values()
        states, summary = part(x), part.summary(x)
        for what, got, wanted in (
            ("states", states, (part.directions, TRIALS, BINS, part.size)),
            ("the summary", summary, (TRIALS, part.features)),
        ):
            if got.shape != wanted or got.dtype != x.dtype:
                yield f"{when}{what} of {tuple(x.shape)} must be {x.dtype} {wanted}, got {got.dtype} {tuple(got.shape)}"
                return
        yield from differs(f"{when}states of several trials and of each alone", states[:, :1], part(x[:1]))
        yield from differs(f"{when}summaries of several trials and of each alone", summary[:1], part.summary(x[:1]))
        yield from _no_bins_missing(part, one)


def _no_bins_missing(part: Any, case: EncoderCase) -> Iterator[str]:
    """One bin and many must do: initial conditions may be read from a few, and streams go on."""
    for bins in (1, 2 * BINS):
        x = case.values(1, bins)
        got = part(x)
        if got.shape[-2] != bins or not part.summary(x).isfinite().all():
            yield f"trials of {bins} bins must do, got states of {got.shape[-2]} bins"


def _order(case: EncoderCase) -> Iterator[str]:
    """In the order in which a direction reads, later bins must have no say."""
    for when, one in _cases(case):
        part = one.build()
        x = one.values().requires_grad_()
        for way, states in enumerate(part(x)):
            for t in range(BINS - 1):
                (slope,) = torch.autograd.grad(states[:, t].sum(), x, retain_graph=True)
                unread = slope[:, t + 1 :] if way == 0 else slope[:, : BINS - 1 - t]
                if (unread != 0).any():
                    name = "forward" if way == 0 else "backward"
                    yield f"{when}bin {t} of those that the {name} direction reads must not depend on bins it reads later, but does"
                    return


def _streams(case: EncoderCase) -> Iterator[str]:
    if not case.spec.causal:
        return
    one = EncoderCase(case.spec, case.settings, case.contract, causal=True)
    part, x, memory = one.build(), one.values(), None
    with torch.no_grad():
        wanted = part(x)[0]
        for t in range(BINS):
            state, memory = part.listen(x[:, t], memory)
            yield from differs(f"listen() of bin {t} and the forward direction's states", state, wanted[:, t], rtol=1e-7)


def _refuses(case: EncoderCase) -> Iterator[str]:
    """What says that it cannot read forwards alone must not do so in silence when it is built for it."""
    if case.spec.causal:
        return
    one = EncoderCase(case.spec, case.settings, case.contract, causal=True)
    try:
        part = one.build()
    except LfadsError:
        return
    if part.directions == 1:
        yield "it can be built to read forwards alone: say so with causal=True in its record, so that models with it stream"


def _population(case: EncoderCase) -> Iterator[str]:
    x = case.values(3, TRIALS, BINS)
    yield from members_differ(case.build(), "forward", {"x": x}, out_axis=1)
    yield from members_differ(case.build(), "summary", {"x": x})


LAWS = laws_of(
    "encoder",
    (Law("shapes are right, and trials do not touch one another", _shapes, essential=True),),
    (
        Law("a direction knows only what it has read", _order),
        Law("bin by bin it gives the same", _streams),
        Law("its record says whether it can be causal", _refuses),
        Law("a population gives each member its own", _population),
        Law("matrices that L2 counts are its own", kernel_faults),
    ),
)
