"""One optimiser step, of one model or of several at once: a member that fails is out, and its weights are left as they were."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.profiler import record_function

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components.batch import Batch
from lfads_core.errors import NumericsError
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.model.population import forward_population
from lfads_core.objective.total import Losses, Objective
from lfads_core.origin import blamed
from lfads_core.recurrence.precision import mixed
from lfads_core.train.finite_checks import ASKED_AT_ONCE, require_finite, step_check
from lfads_core.train.optim import AdamW, clip_gradients
from lfads_core.train.records import StepInputs, StepOwner, StepResult
from lfads_core.train.together import take_together
from lfads_core.trial.culprit import who_fails, who_spoilt

log = logging.getLogger(__name__)

T = TypeVar("T")
Failures = dict[int, Exception]
"""What members raised, by their number."""


@dataclass(kw_only=True, eq=False)
class LoneMember:
    """A model to be stepped that no trainer drives."""

    model: LFADS
    objective: Objective
    optimizer: AdamW
    train_stack: AugmentationStack
    clip_norm: float | None


def take_step(members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> list[StepResult]:
    """Forward, backward, clip, step, of members of one shape.

    Raises:
        NumericsError: a term or a gradient is not finite; the weights are left as they were. On a GPU that is left to
            whoever asks the result's ``check``, which is better done rarely; the weights are left all the same.
    """
    return list(take_step_or_fail(dict(enumerate(members)), dict(enumerate(ready))).values())


def take_step_or_fail(members: Mapping[int, StepOwner], ready: Mapping[int, StepInputs], failed: Failures | None = None) -> dict[int, StepResult]:
    """The same: the results of those who could do it. What the others raise is added to ``failed``; if that is None, it is raised."""
    if not members:
        return {}
    for member in members.values():
        member.optimizer.zero_grad()
    if (taken := take_together(list(members.values()), [ready[i] for i in members])) is not None:
        return dict(zip(members, taken, strict=True))
    like = next(iter(members.values())).model  # members of one shape agree in precision and device
    with record_function("lfads: forward"), mixed(like.precision, like.device):
        outputs = forward_each({i: (member.model, ready[i].batches, ready[i].noise) for i, member in members.items()}, failed)
    with record_function("lfads: loss"):
        losses = each({i: partial(_price, members[i], ready[i], output) for i, output in outputs.items()}, failed)
    with record_function("lfads: backward"):
        losses = backward_each(members, ready, losses, failed)
    with record_function("lfads: update"):
        calls = {i: partial(update_or_name, members[i], ready[i], one) for i, one in losses.items()}
        return each(calls, failed)


def backward_each(
    members: Mapping[int, StepOwner], ready: Mapping[int, StepInputs], losses: dict[int, Losses], failed: Failures | None
) -> dict[int, Losses]:
    """Everybody's gradients in one pass back; if that fails, one by one, so that only those who fail alone are out."""
    if not losses:
        return {}
    try:
        torch.autograd.backward([one.total for one in losses.values()])  # members share no weight: each gets the gradient of its own loss
    except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a component raises
        if len(losses) > 1:
            return each({i: partial(_alone, members[i], ready[i]) for i in losses}, failed)
        each({i: partial(_fail_back, members[i], ready[i], err) for i in losses}, failed)
        return {}
    return losses


def _alone(member: StepOwner, ready: StepInputs) -> Losses:
    member.optimizer.zero_grad()
    with mixed(member.model.precision, member.model.device):
        output = member.model(ready.batches, ready.noise)
    losses = _price(member, ready, output)
    try:
        losses.total.backward()
    except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a component raises
        _fail_back(member, ready, err)
    return losses


def _fail_back(member: StepOwner, ready: StepInputs, err: BaseException) -> None:
    """Raise what failed on the way back, as the fault of the component that it comes from if there is one."""
    member.optimizer.zero_grad()
    named = who_fails(member.model, [member.train_stack], partial(_total, member, ready)) or blamed(err)
    raise (named or err) from (err if named else err.__cause__)


def _total(member: StepOwner, ready: StepInputs) -> Tensor:
    """The loss of a step, from its pass made again."""
    with mixed(member.model.precision, member.model.device):
        output = member.model(ready.batches, ready.noise)
    return member.objective(member.model, ready.batches, output, ready.noise, member.train_stack, ready.epoch).total


def update_or_name(member: StepOwner, ready: StepInputs, losses: Losses) -> StepResult:
    """:func:`update`; of a gradient that is not finite it is said which component it comes from.

    Raises:
        NumericsError: a gradient is not finite; the weights are left as they were.
    """
    try:
        return update(member.model, member.optimizer, losses, (ready.epoch, member.clip_norm))
    except NumericsError as err:
        raise _named(err, member, ready) from err


def _named(err: NumericsError, member: StepOwner, ready: StepInputs) -> NumericsError:
    culprit = who_spoilt(member.model, [member.train_stack], partial(_total, member, ready))
    return err if culprit is None else NumericsError(f"{err} {culprit}")


def update(model: LFADS, optimizer: AdamW, losses: Losses, progress: tuple[int, float | None]) -> StepResult:
    """Clip the gradients and change the weights; ``progress`` is (epoch, clip norm).

    Raises:
        NumericsError: a gradient is not finite; the weights are left as they were.
    """
    epoch, clip_norm = progress
    check = step_check(model, losses, epoch)
    at_once = model.device.type in ASKED_AT_ONCE
    if at_once:
        check.require()  # before the clip, which would spread one parameter's NaN over all
    clip_gradients(optimizer.params, check.grad_norm, clip_norm)
    optimizer.step(None if at_once else check.skip())
    return StepResult(losses=losses, grad_norm=check.grad_norm, check=None if at_once else check)


def forward_each(given: Mapping[int, tuple[LFADS, Mapping[str, Batch], Noise]], failed: Failures | None) -> dict[int, ModelOutput]:
    """Everybody's pass in one; if that fails, one by one, so that only those who fail alone are out."""
    if len(given) > 1:
        try:
            return dict(zip(given, forward_population(*map(list, zip(*given.values(), strict=True))), strict=True))
        except (Exception, SystemExit):  # whatever a component raises
            if failed is None:
                raise
    return each({i: partial(model, batches, noise) for i, (model, batches, noise) in given.items()}, failed)


def each(calls: Mapping[int, Callable[[], T]], failed: Failures | None) -> dict[int, T]:
    """What each member's call returns; what the others raise is added to ``failed``, or raised if that is None."""
    found = {}
    for i, call in calls.items():
        try:
            found[i] = call()
        except (Exception, SystemExit) as raised:  # one member's component must not end the others' training
            err = _spoken(raised)
            if not isinstance(err, Exception):
                raise
            if failed is None and err is raised:
                raise
            if failed is None:
                raise err from raised
            log.debug("member %d failed", i, exc_info=True)
            failed[i] = err if len(calls) == 1 else err.with_traceback(None)  # whose frames hold tensors
    return found


def _spoken(err: BaseException) -> BaseException:
    """The error that names the component that raised this one, with what it comes from; itself if no component did."""
    named = blamed(err)
    if named is None:
        return err
    named.__cause__ = err
    return named


def _price(member: StepOwner, ready: StepInputs, output: ModelOutput) -> Losses:
    losses = member.objective(member.model, ready.batches, output, ready.noise, member.train_stack, ready.epoch)
    try:
        require_finite(losses, ready.epoch)
    except NumericsError as err:
        raise _named(err, member, ready) from err
    return losses
