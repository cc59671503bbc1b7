"""A training step captured once and replayed (``train.cuda_graph``): on a GPU one launch in the place of hundreds.

Trials and noise are drawn as for any other step and copied into the buffers of a graph (:mod:`lfads_core.train.graphs`), and the numbers that
change from epoch to epoch (learning rate, decay, ramps) are written to the device. Everything else (shapes, clip, betas, which parameters are
trained, where weights and moments lie) is part of what was captured; where it changes, the step is captured anew. Batches whose sizes differ are
filled up to the largest (:mod:`lfads_core.train.filled`), so that one graph serves all steps in which the same sessions take part.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from lfads_core.config.schema import RunConfig
from lfads_core.objective.terms import Weights
from lfads_core.objective.total import Objective
from lfads_core.train.captured_passes import PassGraphs
from lfads_core.train.cuda_graph import CUDAGraphs
from lfads_core.train.filled import Sizes, filled, may_be_filled
from lfads_core.train.graphs import Capturable, Captured, Forms, Graph, form_of, world_of
from lfads_core.train.optim import DeviceRates
from lfads_core.train.records import StepInputs, StepOwner, StepResult
from lfads_core.train.step import take_step

log = logging.getLogger(__name__)


def graphs_for(config: RunConfig, device: torch.device) -> StepGraphs | None:
    """What captures the steps of a training; None if that is not wanted, or not to be had here, which is said once if it was asked for."""
    wanted = config.train.cuda_graph
    if device.type == "cuda" and wanted:
        return StepGraphs(CUDAGraphs(device))
    if wanted is True:
        _warn_once(f"train.cuda_graph: true cannot be used: steps are captured on CUDA devices alone, not on {device}. They are taken as without it.")
    return None


class StepGraphs:
    """Captured steps by their form, and captured passes of validations; ``new_graph`` makes what captures one."""

    def __init__(self, new_graph: Callable[[], Graph]) -> None:
        self.passes = PassGraphs(new_graph)
        self._forms: Forms[CapturedStep] = Forms(new_graph, "training step")
        self._sizes: dict[int, Sizes] = {}

    def step(self, members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> list[StepResult] | None:
        """Take everybody's step; None if it must be taken otherwise, and nothing has been done. A failure is said once and ends all capturing."""
        return self._forms.attempt(partial(self._step, members, ready))

    def _step(self, members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> list[StepResult] | None:
        given = self._of_one_size(members, ready)
        form = tuple(form_of((one.batches, one.noise)) for one in given)
        captured = self._forms.at(tuple(map(_world, members)), form, partial(CapturedStep, members, given))
        return None if captured is None else captured(members, ready, given)

    @property
    def proved(self) -> int:
        """Forms of a step whose replay has agreed with the step itself."""
        return self._forms.count(lambda one: one.proved)

    def _of_one_size(self, members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> Sequence[StepInputs]:
        """Steps filled up to the largest so far, if some were larger and trials can be left out of all means."""
        sizes = [self._sizes.setdefault(id(member), Sizes()) for member in members]
        changed = [of.see(one.batches) for of, one in zip(sizes, ready, strict=True)]
        if any(changed):
            self._forms.forget()
        if not any(of.differ for of in sizes) or not all(may_be_filled(member.model, member.train_stack) for member in members):
            return ready
        found = [filled(one.batches, one.noise, of) for one, of in zip(ready, sizes, strict=True)]
        done = [replace(one, batches=of[0], noise=of[1]) for one, of in zip(ready, found, strict=True) if of is not None]
        return done if len(done) == len(ready) else ready


class CapturedStep:
    """One form of a step: its graph, and the numbers on the device that change from epoch to epoch."""

    def __init__(self, members: Sequence[StepOwner], given: Sequence[StepInputs], graph: Graph) -> None:
        self._captured: Captured[list[StepResult]] = Captured(list(given), graph)
        self._live = [Live(member) for member in members]

    def __call__(self, members: Sequence[StepOwner], ready: Sequence[StepInputs], given: Sequence[StepInputs] | None = None) -> list[StepResult]:
        """Take the step, with ``given`` in the place of ``ready`` if these are filled up. Losses hold until the next step of this form."""
        for live, member, one in zip(self._live, members, ready, strict=True):
            live.set(member, one.epoch)
        work = Capturable(
            on_buffers=partial(self._step, members),
            plainly=partial(take_step, members, ready),
            changes=partial(_changing, members),
            numbers=_numbers,
        )
        results = self._captured(list(ready if given is None else given), work)
        return [_of_now(*each) for each in zip(results, members, ready, strict=True)]

    @property
    def proved(self) -> bool:
        """Whether a replay has agreed with the step itself."""
        return self._captured.proved

    def _step(self, members: Sequence[StepOwner], given: Sequence[StepInputs]) -> list[StepResult]:
        with _numbers_on_device(members, self._live):
            return take_step(members, given)


def _changing(members: Sequence[StepOwner]) -> list[Tensor]:
    """Weights and moments."""
    moments = [value for member in members for of in member.optimizer.moments.values() for value in vars(of).values()]
    return [*(value for member in members for value in (*member.model.parameters(), *member.model.buffers())), *moments]


def _numbers(results: Sequence[StepResult]) -> list[Tensor]:
    """Each term of the loss by itself, and the norms of the gradients."""
    found = []
    for result in results:
        found += [result.losses.vector.detach()[i : i + 1] for i in range(len(result.losses.vector))]
        found.append(result.losses.total.detach().view(1))
        found.append(result.grad_norm.view(1) if result.check is None else result.check.values[len(result.check.terms) :])
    return found


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
    return (
        id(member),
        world_of(model),
        (member.clip_norm, optimizer.betas, optimizer.eps, optimizer.weight_decay > 0),
        tuple(p.requires_grad for p in model.parameters()),
        (tuple(optimizer.moments), tuple(optimizer.pruned)),
        tuple(value.data_ptr() for value in (*moments, *optimizer.pruned.values())),
    )


@functools.cache
def _warn_once(message: str) -> None:
    log.warning(message)
