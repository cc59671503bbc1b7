"""A step of a population as one step: members that are alike are augmented, priced, checked, clipped and counted together.

What one operation does for each member, it does here for all along a first axis M, so that a step of 32 launches hardly more than a step of
one. Numbers are those of each alone to rounding; all chance is drawn from each member's own streams, to the bit. Where members differ, or
something fails, nothing has been done and each takes the step as before, so that faults are found and named where they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.func import functional_call, vmap

from lfads_core.augment.stack import augmented
from lfads_core.components.batch import Batch
from lfads_core.model.lfads import LFADS, draw_noises
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import Latents
from lfads_core.model.population import latents_of_all
from lfads_core.model.rows import joined_records, mapped, parted, tensors_in
from lfads_core.objective.total import Terms
from lfads_core.recurrence.precision import mixed
from lfads_core.rng import Streams
from lfads_core.train import finite_checks
from lfads_core.train.alike import StackedWeights, give_up, stack_of
from lfads_core.train.finite_checks import StepCheck, term_names, with_bad
from lfads_core.train.optim import step_all
from lfads_core.train.records import StepInputs, StepOwner, StepResult

Prepared = tuple[dict[str, Batch], Noise]
"""Augmented trials of each session, and all noise."""


def prepare_together(members: Sequence[StepOwner], raws: Sequence[Mapping[str, Batch]], rngs: Sequence[torch.Generator]) -> list[Prepared] | None:
    """Everybody's augmented trials and noise, each drawn from its own stream; None if each must make its own."""
    first, stacked = members[0].model, stack_of(members) if len(members) > 1 else None
    if stacked is None or len({(member.model.config.variational, *_shapes(raw)) for member, raw in zip(members, raws, strict=True)}) > 1:
        return None
    try:
        batches = _augmented(members, raws, rngs, together=stacked.augmented_alike)
        count = sum(batch.trials.shape[0] for batch in batches[0].values())
        noises = draw_noises([member.model for member in members], count, rngs, sample=first.config.variational, dropout=True)
        of_all = zip(members, noises, batches, rngs, strict=True)
        noises = [member.model.with_losses_draws(noise, of, rng) for member, noise, of, rng in of_all]
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a component raises, it is found once more where it can be named
        return None
    return list(zip(batches, noises, strict=True))


def _augmented(
    members: Sequence[StepOwner], raws: Sequence[Mapping[str, Batch]], rngs: Sequence[torch.Generator], *, together: bool
) -> list[dict[str, Batch]]:
    """Everybody's trials after their augmentations: as one batch of all members, where these are the same and change each trial by itself."""
    stack, ic_bins = members[0].train_stack, members[0].model.config.encoder.ic_bins or 0
    if not together or not all(part.by_trial for part in stack.batch_order):
        return [augmented(raw, member.train_stack, ic_bins, rng) for member, raw, rng in zip(members, raws, rngs, strict=True)]
    batches: list[dict[str, Batch]] = [{} for _ in members]
    for name in raws[0]:
        raw = joined_records([replace(one[name], ic_bins=ic_bins) for one in raws])
        trials = raw.trials.shape[1]
        whole = stack.draw_and_augment(mapped(raw, lambda value: value.flatten(0, 1)), Streams(tuple(rngs)))
        for mine, batch in zip(batches, parted(mapped(whole, lambda value, of=trials: value.unflatten(0, (-1, of))), len(members)), strict=True):  # type: ignore[misc]
            mine[name] = batch
    return batches


def take_together(members: Sequence[StepOwner], ready: Sequence[StepInputs]) -> list[StepResult] | None:
    """Everybody's step; None if each must take its own, and nothing has been done."""
    if (
        len(members) < 2
        or len({(tuple(one.batches), *_shapes((one.batches, one.noise))) for one in ready}) > 1
        or (stack := stack_of(members)) is None
    ):
        return None
    try:
        return _taken(members, ready, stack)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a component raises, it is found once more where it can be named
        give_up(members, err)
        return None


def _taken(members: Sequence[StepOwner], ready: Sequence[StepInputs], stack: StackedWeights) -> list[StepResult] | None:
    model = members[0].model
    at_once = model.device.type in finite_checks.ASKED_AT_ONCE
    leaves = stack.leaves()
    with record_function("lfads: forward"), mixed(model.precision, model.device):
        batches, noise = joined_records([one.batches for one in ready]), joined_records([one.noise for one in ready])
        x, external = _each(_Gathered(model), leaves, batches)
        latents = latents_of_all([member.model for member in members], leaves, x, external, [one.noise for one in ready])
    with record_function("lfads: loss"):
        priced = _Priced(members[0])
        found = iter(_each(priced, leaves, (latents, batches, noise, stack.shares)))
        terms: Terms = mapped(priced.terms, lambda _: next(found))
        weights = torch.stack([member.objective.beside(one.epoch, terms.further, terms.vector) for member, one in zip(members, ready, strict=True)])
        totals = (terms.vector * weights.to(terms.vector.device, non_blocking=True)).sum(dim=1)
        if at_once and not bool(torch.isfinite(totals).all()):
            return None
    with record_function("lfads: backward"):
        totals.backward(torch.ones_like(totals))
    with record_function("lfads: update"):
        return _updated(members, ready, stack, leaves, terms, totals)


def _updated(
    members: Sequence[StepOwner], ready: Sequence[StepInputs], stack: StackedWeights, leaves: Mapping[str, Tensor], terms: Terms, totals: Tensor
) -> list[StepResult] | None:
    """Clip everybody's gradients and change the weights; None if a number is not finite and somebody can be told at once."""
    at_once, count = totals.device.type in finite_checks.ASKED_AT_ONCE, len(members)
    learnt = [(i, grad) for i, name in enumerate(stack.trained) if (grad := leaves[name].grad) is not None]
    flat = torch.cat([grad.flatten(1) for _, grad in learnt], dim=1)
    sizes = [grad.shape[1:].numel() for _, grad in learnt]
    norms = torch.stack(torch._foreach_norm([part for row in flat.unbind() for part in row.split(sizes)])).view(count, -1)  # noqa: SLF001 - one call for all
    norm = torch.linalg.vector_norm(norms, dim=1)
    terms, totals = mapped(terms, Tensor.detach), totals.detach()
    own = [
        member.objective.priced(of, total, one.epoch)
        for member, one, of, total in zip(members, ready, parted(terms, count), totals.unbind(), strict=True)
    ]
    names = term_names(own[0])
    sessions = [terms.per_session[name.removeprefix("recon/")] for name in names if name.startswith("recon/")]
    values = torch.cat([*(of.unsqueeze(1) for of in sessions), terms.vector, totals.unsqueeze(1), norm.unsqueeze(1), norms], dim=1)
    bad = (values - values).sum(dim=1) != 0
    if at_once and bool(bad.any()):
        return None
    if any(member.clip_norm is not None for member in members):
        flat = flat * (_limits(members, norm) / (norm + 1e-6)).clamp(max=1.0).unsqueeze(1)
    for row, params in zip(flat.unbind(), stack.own, strict=True):
        for (i, _), part in zip(learnt, row.split(sizes), strict=True):
            params[i].grad = part.view_as(params[i])
    skips = None if at_once else bad.to(torch.float32).unbind()
    step_all([member.optimizer for member in members], skips)
    parameters = tuple(stack.trained[i] for i, _ in learnt)
    checks = [StepCheck(epoch=one.epoch, terms=names, parameters=parameters, values=row) for one, row in zip(ready, values.unbind(), strict=True)]
    checked = [None if at_once else with_bad(check, of) for check, of in zip(checks, bad.unbind(), strict=True)]
    return [StepResult(losses=of, grad_norm=size, check=check) for of, size, check in zip(own, norm.unbind(), checked, strict=True)]


def _limits(members: Sequence[StepOwner], like: Tensor) -> float | Tensor:
    """Largest norms; none is as good as an infinite one. Filled in on the device, as a capture of the step needs it."""
    limits = [math.inf if member.clip_norm is None else member.clip_norm for member in members]
    return limits[0] if len(set(limits)) == 1 else torch.stack([like.new_full((), limit) for limit in limits])


def _each(part: nn.Module, leaves: Mapping[str, Tensor], given: Any) -> Any:
    """A module's call with everybody's weights and everybody's tensors."""

    def of_one(own: dict[str, Tensor], tensors: list[Tensor]) -> Any:
        rest = iter(tensors)
        return functional_call(part, own, (mapped(given, lambda _: next(rest)),), tie_weights=False)

    return vmap(of_one)({f"model.{name}": value for name, value in leaves.items()}, list(tensors_in(given)))


def _shapes(value: Any) -> tuple[Any, ...]:
    return tuple((tensor.shape, tensor.dtype) for tensor in tensors_in(value))


class _Gathered(nn.Module):
    """What encoders and generator read of one model's trials."""

    def __init__(self, model: LFADS) -> None:
        super().__init__()
        self.model = model

    def forward(self, batches: Mapping[str, Batch]) -> tuple[Tensor, Tensor]:
        """Trials (B, Te, D) and external inputs (B, T, E)."""
        return self.model.gather(batches)


class _Priced(nn.Module):
    """Read-out and terms of the loss of one model; what is no tensor in the terms is kept."""

    def __init__(self, member: StepOwner) -> None:
        super().__init__()
        self.model, self._member = member.model, member
        self.terms: Any = None

    def forward(self, given: tuple[Latents, Mapping[str, Batch], Noise, Any]) -> list[Tensor]:
        """All tensors of :class:`Terms`."""
        latents, batches, noise, shares = given
        with mixed(self.model.precision, self.model.device):
            output = self.model.read_out_all(batches, latents)
        self.terms = self._member.objective.terms(self.model, batches, output, noise, self._member.train_stack, shares)
        return list(tensors_in(self.terms))
