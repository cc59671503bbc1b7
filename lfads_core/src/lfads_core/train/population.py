"""Several trainings in step with one another: one batched pass through encoders and decoder for all, everything else each one's own.

A member's seeds, batches, noise, scales, ramps, learning rate, clip and checkpoints are exactly those it would have alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import torch

from lfads_core.components.batch import Batch
from lfads_core.errors import LfadsError, NumericsError
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.model.population import forward_population
from lfads_core.objective.total import Losses
from lfads_core.recurrence.precision import mixed
from lfads_core.train.captured import StepGraphs
from lfads_core.train.evaluate import Tally
from lfads_core.train.health import require_finite
from lfads_core.train.passing import EndedEpoch, Prepared
from lfads_core.train.step import StepResult, update
from lfads_core.train.trainer import Trainer

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class MemberEnd:
    """How one member's training ended."""

    member: int  # its position among the trainers
    status: Literal["done", "diverged", "failed", "interrupted"]
    error: str | None = None  # one sentence when diverged or failed


def train_members(
    trainers: Sequence[Trainer], on_epoch: Callable[[int, EndedEpoch], None], should_stop: Callable[[], bool], *, beside: int = 1
) -> Iterator[MemberEnd]:
    """Train members until each has a reason to stop (its own ``train.epochs`` and the like), and say how each ended.

    A member whose loss, gradient or validation is not finite, or which raises, ends there, its weights as they were before the
    step, and the others go on. Nothing goes back to earlier checkpoints. ``last`` and ``best`` are put on disk when a member is
    done or interrupted, not every epoch. ``on_epoch`` gets a member's position and epoch; ``should_stop`` is asked before each step.
    ``beside`` populations run at the same time on this machine, this one included: a member is charged its share of the time.

    Raises:
        RunError: a checkpoint cannot be written.
    """
    going = dict(enumerate(trainers))
    clock, graphs = _Clock(going, beside), graphs_of(trainers)
    for trainer in trainers:
        trainer.begin()
    while going:
        for i in [i for i, trainer in going.items() if trainer.why_stop(trainer.progress.seconds) is not None]:
            yield _saved(i, going.pop(i), "done")
        ends, interrupted = _train_epoch(going, should_stop, graphs)
        clock.lap()
        if not interrupted:
            out = {end.member for end in ends}
            ends += _end_epoch({i: trainer for i, trainer in going.items() if i not in out}, on_epoch)
        for end in ends:
            del going[end.member]
        yield from ends
        if interrupted:
            yield from [_saved(i, trainer, "interrupted") for i, trainer in going.items()]
            return


class _Clock:
    """Shares the time that passes out among those who spend it together."""

    def __init__(self, going: Mapping[int, Trainer], beside: int) -> None:
        self.going, self.beside, self.last = going, beside, time.monotonic()

    def lap(self) -> None:
        """Give everybody still there an equal share of the time since the last lap."""
        now = time.monotonic()
        for trainer in self.going.values():
            trainer.progress.seconds += (now - self.last) / (len(self.going) * self.beside)
        self.last = now


def _saved(member: int, trainer: Trainer, status: Literal["done", "interrupted"]) -> MemberEnd:
    trainer.save_best()
    trainer.save_last()
    return MemberEnd(member=member, status=status)


def graphs_of(trainers: Sequence[Trainer]) -> StepGraphs | None:
    """What captures steps of all these together, if each of them would have its own captured."""
    return trainers[0].graphs if trainers and all(trainer.graphs is not None for trainer in trainers) else None


def _train_epoch(going: Mapping[int, Trainer], should_stop: Callable[[], bool], graphs: StepGraphs | None) -> tuple[list[MemberEnd], bool]:
    """Train what is left of everybody's epoch: who could not go on, and whether it was interrupted."""
    ends: list[MemberEnd] = []
    left = {i: trainer.remaining() for i, trainer in going.items()}
    while raws := {i: raw for i, steps in left.items() if (raw := next(steps, None)) is not None}:
        if should_stop():
            return ends, True
        failed = step_together(going, raws, graphs)
        ends += failed
        out = {end.member for end in failed}
        left = {i: left[i] for i in raws if i not in out}
    return ends, False


def step_together(
    going: Mapping[int, Trainer], raws: Mapping[int, tuple[int, Mapping[str, Batch]]], graphs: StepGraphs | None = None
) -> list[MemberEnd]:
    """One step of each member that has one left: who could not do it."""
    ends: list[MemberEnd] = []
    ready = _each({i: partial(going[i].prepare, *raw) for i, raw in raws.items()}, ends)
    if graphs is not None and ready:
        members = [going[i] for i in ready]
        results = graphs.step(members, list(ready.values()), partial(_take_all, members))
        if results is not None:
            for i, result in zip(ready, results, strict=True):
                going[i].absorb(ready[i], result)
            return ends
    models = {i: going[i].model for i in ready}
    with _precision_of(list(models.values())):
        outputs = _forward(models, {i: (one.batches, one.noise) for i, one in ready.items()}, ends)
    losses = _each({i: partial(_price, going[i], ready[i], output) for i, output in outputs.items()}, ends)
    if losses:
        torch.autograd.backward([one.total for one in losses.values()])  # members share no weight: each gets the gradient of its own loss
    for i, result in _each({i: partial(_update, going[i], ready[i], one) for i, one in losses.items()}, ends).items():
        going[i].absorb(ready[i], result)
    return ends


def _take_all(trainers: Sequence[Trainer], ready: Sequence[Prepared]) -> list[StepResult]:
    """The same of members of whom none may fail: what is captured is one for all."""
    models = [trainer.model for trainer in trainers]
    with _precision_of(models):
        outputs = forward_population(models, [one.batches for one in ready], [one.noise for one in ready])
    losses = list(map(_price, trainers, ready, outputs))
    torch.autograd.backward([one.total for one in losses])
    return list(map(_update, trainers, ready, losses))


def _precision_of(models: Sequence[LFADS]) -> AbstractContextManager[object]:
    """How the members' training passes compute their products; members of one shape agree."""
    return mixed(models[0].precision, models[0].device) if models else nullcontext()


def _price(trainer: Trainer, ready: Prepared, output: ModelOutput) -> Losses:
    trainer.optimizer.zero_grad()
    losses = trainer.objective(trainer.model, ready.batches, output, ready.noise, trainer.train_stack, ready.epoch)
    require_finite(losses, ready.epoch)
    return losses


def _update(trainer: Trainer, ready: Prepared, losses: Losses) -> StepResult:
    return update(trainer.model, trainer.optimizer, losses, (ready.epoch, trainer.config.optim.clip_norm))


@torch.no_grad()
def _end_epoch(going: Mapping[int, Trainer], on_epoch: Callable[[int, EndedEpoch], None]) -> list[MemberEnd]:
    """Validate everybody and move on to the next epoch: who could not."""
    ends: list[MemberEnd] = []
    sound = _each({i: partial(_looked_at, trainer) for i, trainer in going.items()}, ends)
    going = {i: going[i] for i in sound}
    tallies = {i: Tally(t.validator, t.model, t.progress.epoch, predict=t.predicts) for i, t in going.items()}
    left = {i: t.validator.passes(t.model, t.data.splits["valid"], t.progress.epoch) for i, t in going.items()}
    while given := {i: one for i, one in _each({i: partial(next, passes, None) for i, passes in left.items()}, ends).items() if one is not None}:
        outputs = _forward({i: going[i].model for i in given}, {i: (one.batches, one.noise) for i, one in given.items()}, ends)
        added = _each({i: partial(tallies[i].add, given[i], output) for i, output in outputs.items()}, ends)
        left = {i: left[i] for i in added}
    out = {end.member for end in ends}
    ended = _each({i: partial(_judge, trainer, tallies[i]) for i, trainer in going.items() if i not in out}, ends)
    for i, epoch in ended.items():
        on_epoch(i, epoch)
    return ends


def _looked_at(trainer: Trainer) -> bool:
    """Whether all of the epoch's steps were numbers, where nobody has asked yet."""
    trainer.watch.require()
    return True


def _judge(trainer: Trainer, tally: Tally) -> EndedEpoch:
    return trainer.end_epoch(tally.validation())


def _forward(models: Mapping[int, LFADS], given: Mapping[int, tuple[Mapping[str, Batch], Noise]], ends: list[MemberEnd]) -> dict[int, ModelOutput]:
    """Everybody's pass in one; if that fails, one by one, so that only those who fail alone are out."""
    try:
        found = forward_population(list(models.values()), [given[i][0] for i in models], [given[i][1] for i in models])
        return dict(zip(models, found, strict=True))
    except Exception:  # noqa: BLE001 - whatever a component raises
        return _each({i: partial(model, *given[i]) for i, model in models.items()}, ends)


def _each(calls: Mapping[int, Callable[[], T]], ends: list[MemberEnd]) -> dict[int, T]:
    """What each member's call returns; those that raise are added to ``ends``."""
    found = {}
    for i, call in calls.items():
        try:
            found[i] = call()
        except NumericsError as err:
            ends.append(MemberEnd(member=i, status="diverged", error=str(err)))
        except Exception as err:  # one member's component must not end the others' training
            log.debug("member %d of the population failed", i, exc_info=True)
            ends.append(MemberEnd(member=i, status="failed", error=str(err) if isinstance(err, LfadsError) else f"{type(err).__name__}: {err}"))
    return found
