"""Laws of generators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractGenerator, GeneratorInfo
from lfads_core.plugins.specs import GeneratorSpec
from lfads_core.recurrence import reference
from lfads_core.rng import stream
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs
from lfads_core.testing.sequence import BINS, SIZE, TRIALS, WIDTH, SequenceCase, kernel_faults, laws_of, members_differ

CLIP = 5.0


@dataclass(frozen=True)
class GeneratorCase(SequenceCase):
    """A generator under inputs, or, of width 0, under none."""

    inputs: int = WIDTH

    def info(self) -> GeneratorInfo:
        """Small sizes."""
        return GeneratorInfo(inputs=self.inputs, size=SIZE, rng=stream(0, "generator"), clip=CLIP)

    def use(self, part: Any, x: Tensor) -> Tensor:
        """States under these inputs."""
        found: Tensor = part.run(x, part.start(first_of(x)), clip=CLIP)
        return found


def generator_case(spec: GeneratorSpec, settings: Any) -> GeneratorCase:
    """The case of a generator."""
    return GeneratorCase(spec, settings, AbstractGenerator)


def first_of(x: Tensor) -> Tensor:
    """What the initial condition was mapped to, for each trial of ``x``."""
    return torch.linspace(-1, 1, SIZE, dtype=x.dtype).expand(*x.shape[:-2], SIZE)


def _shapes(case: GeneratorCase) -> Iterator[str]:
    for inputs in (WIDTH, 0):
        part = GeneratorCase(case.spec, case.settings, case.contract, inputs).build()
        x = case.values()[..., :inputs]
        first = first_of(x)
        for what, got in (("start()", part.start(first)), ("step()", part.step(first, x[:, 0]))):
            if got.shape != (TRIALS, SIZE) or got.dtype != x.dtype:
                yield f"{what} must give {x.dtype} {(TRIALS, SIZE)} with {inputs} inputs, got {got.dtype} {tuple(got.shape)}"
                return
        states = part.run(x, part.start(first), clip=CLIP)
        if states.shape != (TRIALS, BINS, SIZE):
            yield f"run() must give {(TRIALS, BINS, SIZE)}, got {tuple(states.shape)}"
            return
        yield from differs("states of several trials and of each alone", states[:1], part.run(x[:1], part.start(first[:1]), clip=CLIP))


def _loop(case: GeneratorCase) -> Iterator[str]:
    for clip in (CLIP, 0.1):
        part, x = case.build(), case.values()
        state = part.start(first_of(x))
        got = part.run(x, state, clip=clip)
        wanted = AbstractGenerator.run(part, x, state, clip=clip)
        yield from differs(f"run() and step() bin by bin, bounded by {clip:g},", got, wanted, rtol=1e-7)


def _gru(case: GeneratorCase) -> Iterator[str]:
    part, x = case.build(), case.values()
    weights = part.gru()
    if weights is not None:
        state = first_of(x)
        wanted = reference.gru_step(reference.affine(x[:, 0], weights.input, weights.bias), state, weights.recurrent, CLIP)
        yield from differs("step() and the GRU whose weights gru() gives", part.step(state, x[:, 0]).clamp(-CLIP, CLIP), wanted)


def _population(case: GeneratorCase) -> Iterator[str]:
    x = case.values(3, TRIALS, BINS)
    first = first_of(x)
    yield from members_differ(case.build(), "step", {"state": first, "inputs": x[:, :, 0]})
    yield from members_differ(case.build(), "start", {"first": first})


LAWS = laws_of(
    "generator",
    (Law("shapes are right, and trials do not touch one another", _shapes, essential=True),),
    (
        Law("its own loop gives what its steps give", _loop),
        Law("a step is the GRU it says it is", _gru),
        Law("a population gives each member its own", _population),
        Law("matrices that L2 counts are its own", kernel_faults),
    ),
)
