"""A training step captured once and replayed (``train.cuda_graph``): on a GPU one launch in the place of hundreds.

A replay repeats what the captured step did, operation by operation, on the same memory. So whatever differs between steps lies in
memory of its own, written before each replay: trials and noise, which are drawn as for any other step, and the numbers that change from
epoch to epoch (learning rate, decay, ramps). Everything else (shapes, clip, betas, which parameters are trained, where weights and
moments lie) is part of what was captured; where it changes, the step is captured anew.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.model.rows import mapped, tensors_in
from lfads_core.objective.terms import Weights
from lfads_core.objective.total import Objective
from lfads_core.train.cuda_graph import CUDAGraphs
from lfads_core.train.optim import DeviceRates
from lfads_core.train.records import StepInputs, StepOwner, StepResult
from lfads_core.train.step import take_step

log = logging.getLogger(__name__)

REHEARSALS = 2
"""Steps of one form that are taken operation by operation before it is captured: kernels are compiled, libraries loaded, moments made."""
MOST_FORMS = 8
"""Forms of a step (numbers of trials of each session, mostly) that are captured; others are taken operation by operation."""

T = TypeVar("T")


@runtime_checkable
class Graph(Protocol):
    """Something that can do again what it once saw done on a device."""

    def rehearse(self, step: Callable[[], None]) -> None:
        """Take a step for real, where it will be captured."""
        ...

    def capture(self, step: Callable[[], None]) -> None:
        """See what a step does. Weights are as before."""
        ...

    def replay(self) -> None:
        """Do it."""
        ...


def graphs_for(config: RunConfig, device: torch.device) -> StepGraphs | None:
    """What captures the steps of a training; None if that is not asked for, or cannot be done on this device, which is said once."""
    if not config.train.cuda_graph:
        return None
    if device.type != "cuda":
        _warn_once(f"train.cuda_graph: true cannot be used: steps are captured on CUDA devices alone, not on {device}. They are taken as without it.")
        return None
    return StepGraphs(CUDAGraphs(device))


class StepGraphs:
    """Captured steps by their form; ``new_graph`` makes what captures one."""

    def __init__(self, new_graph: Callable[[], Graph]) -> None:
        self._new_graph, self._given_up = new_graph, False
        self._world: Hashable = None
        self._kept: dict[Hashable, CapturedStep] = {}

    def step(self, members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> list[StepResult] | None:
        """Take everybody's step; None if it must be taken otherwise, and nothing has been done. A failure is said once and ends all capturing."""
        if self._given_up:
            return None
        world = tuple(map(_world, members))
        if world != self._world:
            self._world, self._kept = world, {}
        form = tuple(_form((one.batches, one.noise)) for one in ready)
        if form not in self._kept and len(self._kept) >= MOST_FORMS:
            return None
        try:
            if form not in self._kept:
                self._kept[form] = CapturedStep(members, ready, self._new_graph())
            return self._kept[form](members, ready)
        except Exception as error:  # noqa: BLE001 - whatever hinders a capture, training need not end for it
            self._given_up, self._kept = True, {}
            text = " ".join(str(error).split())[:300]
            log.warning("train.cuda_graph: a step could not be captured (%s: %s). Steps are taken as without it.", type(error).__name__, text)
            return None


class CapturedStep:
    """One form of a step: its buffers, and the graph that works on them."""

    def __init__(self, members: Sequence[StepOwner], ready: Sequence[StepInputs], graph: Graph) -> None:
        if any(value.requires_grad for one in ready for value in tensors_in((one.batches, one.noise))):
            raise ValueError("augmentations and draws of noise must not carry gradients, which would be lost")
        self._buffers = [mapped(one, torch.empty_like) for one in ready]
        self._live = [Live(member) for member in members]
        self._graph, self._rehearsed, self._captured = graph, 0, False
        self._results: list[StepResult] = []

    def __call__(self, members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> list[StepResult]:
        """Put this step's trials, noise and numbers in place and take it. Losses hold until the next step of this form."""
        _copy(list(tensors_in(ready)), list(tensors_in(self._buffers)))
        for live, member, one in zip(self._live, members, ready, strict=True):
            live.set(member, one.epoch)
        step = partial(self._step, members)
        if self._rehearsed < REHEARSALS:
            self._rehearsed += 1
            self._graph.rehearse(step)
        else:
            if not self._captured:
                self._graph.capture(step)
                self._captured = True
            self._graph.replay()
        return [_of_now(*each) for each in zip(self._results, members, ready, strict=True)]

    def _step(self, members: Sequence[StepOwner]) -> None:
        with _numbers_on_device(members, self._live):
            self._results = [mapped(result, Tensor.detach) for result in take_step(members, self._buffers)]


@dataclass(frozen=True, eq=False)
class LiveObjective(Objective):
    """An objective whose ramps are numbers on the device."""

    on_device: Weights = Weights(kl=1.0, l2=1.0)

    def weights(self, epoch: int) -> Weights:
        """What they are now, whatever the epoch was when the step was captured."""
        del epoch
        return self.on_device


class Live:
    """One member's numbers that change from epoch to epoch, on its device: filled there, so that nothing waits."""

    def __init__(self, member: StepOwner) -> None:
        like = next(member.model.parameters()).detach()
        kl, l2, kept = (like.new_zeros(()) for _ in range(3))
        # torch's kernel reads the rate as float32 on a GPU and as float64 on a CPU
        lr = like.new_zeros((), dtype=torch.float32 if like.device.type == "cuda" else torch.float64)
        self.rates = DeviceRates(lr=lr, kept=kept if member.optimizer.weight_decay > 0 else None)
        losses = {name: like.new_zeros(()) for name in member.objective.losses}
        self.objective = LiveObjective(**vars(member.objective), on_device=Weights(kl=kl, l2=l2, losses=losses))
        self._numbers = (lr, kept, kl, l2, *losses.values())
        self._known = (0.0,) * len(self._numbers)

    def set(self, member: StepOwner, epoch: int) -> None:
        """Write what has changed."""
        lr, decay, ramps = member.optimizer.lr, member.optimizer.weight_decay, member.objective.ramps(epoch)
        now = lr, 1 - lr * decay, ramps.kl, ramps.l2, *ramps.losses.values()
        for number, value, known in zip(self._numbers, now, self._known, strict=True):
            if value != known:
                number.fill_(value)
        self._known = now


@contextmanager
def _numbers_on_device(members: Sequence[StepOwner], live: Sequence[Live]) -> Iterator[None]:
    """Have objectives and optimisers read their changing numbers from the device."""
    own = [member.objective for member in members]
    try:
        for member, of in zip(members, live, strict=True):
            member.objective, member.optimizer.on_device = of.objective, of.rates
        yield
    finally:
        for member, objective in zip(members, own, strict=True):
            member.objective, member.optimizer.on_device = objective, None


def _of_now(result: StepResult, member: StepOwner, ready: StepInputs) -> StepResult:
    """A result under this step's epoch; what is looked at later is copied, for the next replay writes over it."""
    losses = replace(result.losses, ramps=member.objective.ramps(ready.epoch))
    if result.check is None:
        return replace(result, losses=losses)
    check = replace(result.check, epoch=ready.epoch, values=result.check.values.clone())
    return StepResult(losses=losses, grad_norm=check.grad_norm, check=check)


def _world(member: StepOwner) -> Hashable:
    """All that a captured step takes for granted, beside the form of its trials and noise."""
    model, optimizer = member.model, member.optimizer
    moments = [value for of in optimizer.moments.values() for value in vars(of).values()]
    tensors = [*model.parameters(), *model.buffers(), *moments, *optimizer.pruned.values()]
    return (
        id(member),
        (model.loops.name, model.precision),
        (member.clip_norm, optimizer.betas, optimizer.eps, optimizer.weight_decay > 0),
        tuple(p.requires_grad for p in model.parameters()),
        (tuple(optimizer.moments), tuple(optimizer.pruned)),
        tuple(value.data_ptr() for value in tensors),
    )


def _form(value: Any) -> Hashable:
    """Shapes and types of all tensors of something, and everything else in it."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype, value.device
    if is_dataclass(value):
        return tuple((field.name, _form(getattr(value, field.name))) for field in fields(value))
    if isinstance(value, Mapping):
        return tuple((key, _form(part)) for key, part in value.items())
    return tuple(map(_form, value)) if isinstance(value, (tuple, list)) else value


def _copy(given: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    """Copy all, those of one type in one call."""
    for dtype in {value.dtype for value in given}:
        pairs = [(buffer, value) for buffer, value in zip(into, given, strict=True) if value.dtype == dtype]
        torch._foreach_copy_([buffer for buffer, _ in pairs], [value for _, value in pairs])


@functools.cache
def _warn_once(message: str) -> None:
    log.warning(message)
