"""Laws of what reads or moves along a trial, as functions from a tensor (B T K): encoders, generators, latents."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from lfads_core.model.members import each_member
from lfads_core.rng import stream
from lfads_core.testing.built import build_faults, copy_faults, memory_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import differs, not_finite, trained
from lfads_core.trial.compare import no_shared_chance, same

TRIALS, BINS, WIDTH, SIZE = 2, 5, 3, 6


@dataclass(frozen=True)
class SequenceCase(abc.ABC):
    """An encoder, a generator or a latent with its settings."""

    spec: Any
    settings: Any
    contract: type

    @abc.abstractmethod
    def info(self) -> Any:
        """What it is built for, with a generator of random numbers that starts anew."""

    @abc.abstractmethod
    def use(self, part: Any, x: Tensor) -> Tensor:
        """What it makes of a sequence (B T K)."""

    def fresh(self) -> Any:
        """As the framework builds it."""
        return self.spec.build(self.spec.config() if self.settings is None else self.settings, self.info())

    def build(self) -> Any:
        """In float64, with first weights that hide nothing behind zeros."""
        part = self.fresh().double()
        with torch.no_grad():
            for number, value in enumerate(part.parameters()):
                value.add_(torch.empty_like(value).normal_(std=0.05, generator=stream(1, number)))
        return part

    def values(self, *lead: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Something to feed in."""
        return torch.empty(*(lead or (TRIALS, BINS)), WIDTH, dtype=dtype).normal_(generator=stream(0, "values"))


def _built(case: SequenceCase) -> Iterator[str]:
    return build_faults(case.fresh, case.contract)


def _ends(case: SequenceCase) -> Iterator[str]:
    part = case.fresh().float()
    for size in (1e-30, 1e4):
        values = (case.values(dtype=torch.float32) * size).requires_grad_()
        got = case.use(part, values)
        yield from not_finite(f"what it gives for values of size {size:g}", got)
        for slope in torch.autograd.grad(got.sum(), [values, *trained(part)], allow_unused=True):
            if slope is not None:
                yield from not_finite(f"a gradient for values of size {size:g}", slope)


def _gradients(case: SequenceCase) -> Iterator[str]:
    """Along directions drawn at random, for there may be many weights."""
    part = case.build()
    inputs = (case.values(1, 3).requires_grad_(), *trained(part))
    try:
        torch.autograd.gradcheck(lambda x, *_: case.use(part, x), inputs, fast_mode=True)
    except RuntimeError as err:  # gradcheck's own way to say no
        yield f"the gradient must be that of finite differences, got {' '.join(str(err).split())[:200]}"


def kernel_faults(case: SequenceCase) -> Iterator[str]:
    """Matrices that L2 counts and that are no parameters."""
    part = case.build()
    own = {id(value) for value in part.parameters()}
    for kernel in part.kernels():
        if not isinstance(kernel, Tensor) or id(kernel) not in own:
            yield f"kernels() must give parameters of its own, got {type(kernel).__name__} that is none"


def _chance(case: SequenceCase) -> Iterator[str]:
    part, values, faults = case.build(), case.values(), list[str]()
    with no_shared_chance("a pass", faults):
        first, second = case.use(part, values), case.use(part, values)
    yield from faults
    if not same(first, second):
        yield "the same values must give the same, got something else"


def _copies(case: SequenceCase) -> Iterator[str]:
    return copy_faults(case.build, lambda part: case.use(part, case.values()).detach())


def _memory(case: SequenceCase) -> Iterator[str]:
    return memory_faults(case.build(), lambda part: case.use(part, case.values()).detach(), lambda part: case.use(part, case.values(3, 4) + 1))


def members_differ(part: Any, method: str, given: Mapping[str, Tensor], out_axis: int = 0) -> Iterator[str]:
    """Say whether three members give together something else than each alone; all that is given has an axis of members."""
    members = [copy.deepcopy(part) for _ in range(3)]
    with torch.no_grad():
        for number, member in enumerate(members):
            for value in member.parameters():
                value.add_(0.1 * number)
    stacked, buffers = stack_module_state([_Method(member, method) for member in members])
    skeleton = _Method(copy.deepcopy(part), method, out_axis, together=True)
    try:
        together = functional_call(skeleton, {**stacked, **buffers}, kwargs=dict(given), tie_weights=False)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - vmap raises many kinds
        how = "with population = True, so that weights carry an axis M," if part.population else "under torch.func.vmap"
        yield f"{method} {how} raised {type(err).__name__}: {' '.join(str(err).split())[:200]}"
        return
    for i, member in enumerate(members):
        alone = getattr(member, method)(**{name: value[i] for name, value in given.items()})
        yield from differs(f"{method} of member {i} in a population and alone", together.select(out_axis, i), alone)


class _Method(nn.Module):
    """A method of a component as a module's forward, of one model or of all members together."""

    def __init__(self, part: Any, method: str, out_axis: int = 0, *, together: bool = False) -> None:
        super().__init__()
        self.part, self.method, self.out_axis, self.together = part, method, out_axis, together

    def forward(self, **given: Tensor) -> Any:
        call: Callable[..., Any] = getattr(self.part, self.method)
        alone = not self.together or self.part.population
        return call(**given) if alone else each_member(self.part, call, given, out_axis=self.out_axis)


def laws_of(noun: str, first: tuple[Law[Any], ...], others: tuple[Law[Any], ...]) -> tuple[Law[Any], ...]:
    """The laws of a kind, around those that all kinds share; ``first`` are needed by all that follow."""
    return (
        Law(f"building gives an equal {noun} each time", _built, essential=True),
        *first,
        *others,
        Law("output and gradients are finite at the ends", _ends),
        Law("gradients are finite differences", _gradients),
        Law("no chance is used", _chance),
        Law("copies give the same", _copies),
        Law("nothing is remembered between calls", _memory),
    )
