"""The training loop, of one or of several in step with one another, and what becomes of a member that fails.

Several members share one batched pass through encoders and decoder; one alone is the plain model. A member's seeds, batches, noise,
scales, ramps, learning rate, clip and checkpoints are exactly those it would have alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lfads_core.components.batch import Batch
from lfads_core.errors import LfadsError, NumericsError
from lfads_core.model.rows import joined
from lfads_core.train.average import follow_all
from lfads_core.train.captured import StepGraphs
from lfads_core.train.evaluate import EpochResult, validate_each
from lfads_core.train.finite_checks import add_checks
from lfads_core.train.means import add_losses_together
from lfads_core.train.records import StepInputs, StepResult
from lfads_core.train.step import Failures, each, take_step_or_fail
from lfads_core.train.together import prepare_together
from lfads_core.train.trainer import Outcome, Trainer

MOST_ROLLBACKS = 5
"""Times a single run may go back to its last checkpoint, each time at half the learning rate, before it gives up."""


@dataclass(frozen=True, kw_only=True)
class MemberEnd:
    """How one member's training ended: by a reason to stop, or by an error."""

    member: int  # its position among the trainers
    why: Outcome | Exception

    @property
    def status(self) -> Literal["done", "diverged", "failed", "interrupted"]:
        """The same in one word."""
        if isinstance(self.why, Exception):
            return "diverged" if isinstance(self.why, NumericsError) else "failed"
        return "interrupted" if self.why == "interrupted" else "done"

    @property
    def error(self) -> str | None:
        """One sentence when diverged or failed."""
        if not isinstance(self.why, Exception):
            return None
        return str(self.why) if isinstance(self.why, LfadsError) else f"{type(self.why).__name__}: {self.why}"


def fit(trainer: Trainer, on_epoch: Callable[[EpochResult], None], should_stop: Callable[[], bool]) -> Outcome:
    """Train one until something says stop: a population of one, whose state is on disk after every epoch.

    ``on_epoch`` gets each epoch's numbers and validation; ``should_stop`` is asked before each step.

    Raises:
        NumericsError: a term stays not finite after several returns to the last checkpoint at a lower rate.
        RunError: a checkpoint cannot be written.
    """
    (end,) = train_members([trainer], lambda _, ended: on_epoch(ended), should_stop, rollbacks=MOST_ROLLBACKS)
    if isinstance(end.why, Exception):
        raise end.why
    return end.why


def train_members(
    trainers: Sequence[Trainer],
    on_epoch: Callable[[int, EpochResult], None],
    should_stop: Callable[[], bool],
    *,
    beside: int = 1,
    rollbacks: int = 0,
) -> Iterator[MemberEnd]:
    """Train members until each has a reason to stop (its own ``train.epochs`` and the like), and say how each ended.

    A member whose loss, gradient or validation is not finite may go back to its ``last`` so many times (``rollbacks``), for which its
    checkpoints are put on disk every epoch. Without any they are when it is done or interrupted, and it ends there, as does one which
    raises, its weights as they were before the step. The others go on. ``on_epoch`` gets a member's position and epoch;
    ``should_stop`` is asked before each step. ``beside`` populations run at the same time on this machine, this one included: a
    member is charged its share of the time.

    Raises:
        RunError: a checkpoint cannot be written.
    """
    going = dict(enumerate(trainers))
    clock, graphs = _Clock(going, beside), graphs_of(trainers)
    try:
        for trainer in trainers:
            trainer.begin()
        while going:
            clock.lap()
            yield from _leave(going, Trainer.why_stop, save=not rollbacks)
            failed: Failures = {}
            interrupted = train_epoch(going, should_stop, graphs, failed)
            clock.lap()
            if not interrupted:
                for i, ended in end_epoch(going, failed, graphs).items():
                    _report(going[i], partial(on_epoch, i, ended), save=rollbacks > 0)
            for i, error in failed.items():
                if (final := _final(going[i], error, rollbacks)) is not None:
                    going.pop(i).keeper.end()
                    yield MemberEnd(member=i, why=final)
            if interrupted:
                yield from _leave(going, lambda _: "interrupted", save=True)
    finally:
        for trainer in trainers:
            trainer.keeper.end()


def _leave(going: dict[int, Trainer], why: Callable[[Trainer], Outcome | None], *, save: bool) -> Iterator[MemberEnd]:
    """Those who have a reason to stop, with all that is theirs on disk; they are written side by side."""
    leaving = {i: reason for i, trainer in going.items() if (reason := why(trainer)) is not None}
    for i in leaving if save else ():
        going[i].save()
    for i, reason in leaving.items():
        going.pop(i).keeper.wait()
        yield MemberEnd(member=i, why=reason)


def _report(trainer: Trainer, report: Callable[[], None], *, save: bool) -> None:
    """Say what an epoch came to, once the one before is on disk; ``last`` knows of it only after it was said."""
    trainer.keeper.wait()
    report()
    if save:
        trainer.save()


def _final(trainer: Trainer, error: Exception, rollbacks: int) -> Exception | None:
    """What ends a member that failed; None if it goes on, for it has gone back to its last checkpoint. Nobody else decides."""
    if not rollbacks or not isinstance(error, NumericsError):
        return error
    done = trainer.progress.rollbacks
    if done < rollbacks:
        trainer.roll_back(error)
        return None
    final = NumericsError(
        f"{error} Gave up after {done} returns to the last checkpoint, which is kept; "
        f"go on from it at a lower rate with `lfads run --resume {trainer.run.path} --set optim.lr=...`, or lower optim.clip_norm."
    )
    final.__cause__ = error
    return final


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


def graphs_of(trainers: Sequence[Trainer]) -> StepGraphs | None:
    """What captures steps of all these together, if each of them would have its own captured."""
    return trainers[0].graphs if trainers and all(trainer.graphs is not None for trainer in trainers) else None


def train_epoch(going: Mapping[int, Trainer], should_stop: Callable[[], bool], graphs: StepGraphs | None, failed: Failures) -> bool:
    """Train what is left of everybody's epoch, but for those who fail; True if it was interrupted."""
    left = {i: trainer.remaining() for i, trainer in going.items()}
    interrupted = False
    while raws := {i: raw for i, steps in left.items() if (raw := next(steps, None)) is not None}:
        if interrupted := should_stop():
            break
        failed |= step_together(going, raws, graphs)
        left = {i: left[i] for i in raws if i not in failed}
    each({i: trainer.check.require for i, trainer in going.items() if i not in failed}, failed)
    return interrupted


def step_together(going: Mapping[int, Trainer], raws: Mapping[int, tuple[int, Mapping[str, Batch]]], graphs: StepGraphs | None = None) -> Failures:
    """One step of each member that has one left: who could not do it."""
    failed: Failures = {}
    each({i: partial(going[i].try_components, raw) for i, (_, raw) in raws.items()}, failed)
    ready = _prepared({i: going[i] for i in raws if i not in failed}, raws, failed)
    members = {i: going[i] for i in ready}
    captured = None if graphs is None or not members else graphs.step(list(members.values()), list(ready.values()))
    results = take_step_or_fail(members, ready, failed) if captured is None else dict(zip(ready, captured, strict=True))
    _absorb([going[i] for i in results], [ready[i] for i in results], list(results.values()))
    return failed


def _prepared(going: Mapping[int, Trainer], raws: Mapping[int, tuple[int, Mapping[str, Batch]]], failed: Failures) -> dict[int, StepInputs]:
    """Everybody's trials and noise, made at once if members are alike."""
    rngs = [trainer.chance(raws[i][0]) for i, trainer in going.items()]
    found = prepare_together(list(going.values()), [raws[i][1] for i in going], rngs) if len(going) > 1 else None
    if found is None:
        return each({i: partial(trainer.prepare, *raws[i]) for i, trainer in going.items()}, failed)
    return {
        i: StepInputs(epoch=trainer.progress.epoch, step=raws[i][0], batches=batches, noise=noise)
        for (i, trainer), (batches, noise) in zip(going.items(), found, strict=True)
    }


def _absorb(trainers: Sequence[Trainer], ready: Sequence[StepInputs], results: Sequence[StepResult]) -> None:
    """Take everybody's numbers into the epoch's averages."""
    if not results:
        return
    batches = [{name: batch.trials.shape[0] for name, batch in one.batches.items()} for one in ready]
    names = [tuple(result.losses.terms()) + tuple(result.losses.measures) for result in results]
    if (
        len(set(names)) > 1
        or any(of != batches[0] for of in batches)
        or any((result.check is None) != (results[0].check is None) for result in results)
    ):
        for trainer, one, result in zip(trainers, ready, results, strict=True):
            trainer.absorb(one, result)
        return
    add_losses_together(
        [trainer.sums for trainer in trainers], [result.losses for result in results], batches[0], joined([r.grad_norm for r in results])
    )
    checks = [result.check for result in results if result.check is not None]
    if checks:
        add_checks([trainer.check for trainer in trainers], checks)
    follow_all([trainer.average for trainer in trainers if trainer.average is not None])
    for trainer, one in zip(trainers, ready, strict=True):
        trainer.stepped(one)


def end_epoch(going: Mapping[int, Trainer], failed: Failures, graphs: StepGraphs | None = None) -> dict[int, EpochResult]:
    """Validate everybody who has not failed, and move on to the next epoch."""
    tallies = {i: trainer.tally() for i, trainer in going.items() if i not in failed}
    found = validate_each(tallies, failed, None if graphs is None else graphs.passes)
    return each({i: partial(going[i].end_epoch, validation) for i, validation in found.items()}, failed)
