"""Laws of an augmentation."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lfads_core.components import AbstractAugmentation
from lfads_core.components.batch import Batch
from lfads_core.plugins.specs import AugmentationSpec
from lfads_core.rng import stream
from lfads_core.testing.built import build_faults, copy_faults, memory_faults
from lfads_core.testing.findings import Law
from lfads_core.testing.numbers import not_finite
from lfads_core.train.filled import Fill
from lfads_core.trial.compare import no_shared_chance, same
from lfads_core.trial.kinds import batch_faults, by_trial_faults, mask_faults, weigh_faults


@dataclass(frozen=True)
class AugmentationCase:
    """An augmentation with its settings."""

    spec: AugmentationSpec
    settings: Any

    def build(self) -> Any:
        """As the framework builds it, whatever that is."""
        return self.spec.build(self.spec.config() if self.settings is None else self.settings)


def a_batch(trials: int = 4, *, missing: bool = False, seed: int = 0) -> Batch:
    """Counts; fewer bins and channels are encoded than reconstructed, and something is there already in masks and extras."""
    recon = torch.poisson(torch.full((trials, 9, 5), 1.5), generator=stream(seed, "recon"))
    if missing:
        recon[0, 3] = torch.nan
        recon[1, :, 4] = torch.nan
    return Batch(
        encod=recon[:, :7, :3].clone(),
        recon=recon,
        external=recon.new_ones(trials, 9, 2),
        trials=torch.arange(trials),
        ic_bins=2,
        masks={"earlier/mask": recon.new_ones(trials, 9, 5)},
        extras={"speed": torch.arange(trials, dtype=torch.float32)},
    )


def a_loss(batch: Batch, seed: int = 0) -> Tensor:
    """Some loss of every value."""
    return torch.empty(batch.recon.shape).normal_(generator=stream(seed, "loss"))


def changed(part: AbstractAugmentation, batch: Batch, seed: int = 1) -> Batch:
    """The batch after one draw."""
    return part.augment(batch, part.draw(batch, stream(seed)))


def tensors(batch: Batch) -> dict[str, Any]:
    """Everything in it."""
    return {**vars(batch), "masks": dict(batch.masks), "extras": dict(batch.extras)}


def _built(case: AugmentationCase) -> Iterator[str]:
    yield from build_faults(case.build, AbstractAugmentation)
    name = getattr(case.build(), "name", None)
    if name != case.spec.name:
        yield f"its name must be the registered one, {case.spec.name!r}, got {name!r}"


def _shapes(case: AugmentationCase) -> Iterator[str]:
    part, before = case.build(), a_batch()
    after = changed(part, before)
    yield from batch_faults(before, after)
    loss = a_loss(after)
    weighed = part.weigh(loss, after)
    if weighed.shape != loss.shape:
        yield f"weigh must keep the shape {tuple(loss.shape)}, got {tuple(weighed.shape)}"
    yield from not_finite("weigh", weighed)
    for name, value in part.measure(loss, after).items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            yield f"measure[{name!r}] must be a tensor of one number, got {value!r}"
        else:
            yield from not_finite(f"measure[{name!r}]", value)


def _pure(case: AugmentationCase) -> Iterator[str]:
    part, before = case.build(), a_batch()
    kept = copy.deepcopy(tensors(before))
    noise = part.draw(before, stream(1))
    drawn = copy.deepcopy(dict(noise))
    after = part.augment(before, noise)
    left = copy.deepcopy(tensors(after))
    loss = a_loss(after)
    was = loss.clone()
    part.weigh(loss, after)
    part.measure(loss, after)
    for what, one, other in (
        ("the batch that came in", kept, tensors(before)),
        ("the noise", drawn, dict(noise)),
        ("the changed batch, when the loss was weighed,", left, tensors(after)),
        ("the loss", was, loss),
    ):
        if not same(one, other):
            yield f"{what} must not be changed in place"


def _masks(case: AugmentationCase) -> Iterator[str]:
    part, before = case.build(), a_batch()
    after = changed(part, before)
    yield from mask_faults(before, after, case.spec.name)


def _missing(case: AugmentationCase) -> Iterator[str]:
    part = case.build()
    if not part.observes_missing:
        return
    before = a_batch(missing=True)
    after = changed(part, before)
    yield from not_finite("encod, of data with missing values,", after.encod)
    yield from not_finite("recon, of data with missing values,", after.recon)
    loss = a_loss(after).requires_grad_()
    (slope,) = torch.autograd.grad(part.weigh(loss, after).sum(), loss)
    if (slope[before.recon.isnan()] != 0).any():
        yield "missing values must not count in the loss: weigh must give them no gradient"


def _weights(case: AugmentationCase) -> Iterator[str]:
    part = case.build()
    if not part.heeds_weights:
        return
    plain = changed(part, a_batch(missing=part.observes_missing))
    trials = len(plain.trials)
    longer = Fill(have={"": trials}, want={"": trials + 2}).of_sessions({"": plain})[""]
    loss = a_loss(longer)
    if not torch.allclose(part.weigh(loss, longer)[:trials], part.weigh(loss[:trials], plain)):
        yield "weigh must leave trials whose batch.weights are 0 out of what it takes from others. Use lfads_core.components.batch.mean_over_trials"
    found, wanted = part.measure(loss, longer), part.measure(loss[:trials], plain)
    if found.keys() != wanted.keys() or not all(torch.allclose(found[name], value) for name, value in wanted.items()):
        yield "measure must leave trials whose batch.weights are 0 out. Use lfads_core.components.batch.mean_over_trials"


def _by_trial(case: AugmentationCase) -> Iterator[str]:
    part, before = case.build(), a_batch()
    if part.by_trial:
        noise = part.draw(before, stream(1))
        yield from by_trial_faults(part.augment, before, noise, part.augment(before, noise))


def _masks_alone(case: AugmentationCase) -> Iterator[str]:
    part = case.build()
    if not part.reads_masks_alone:
        return
    after = changed(part, a_batch())
    bare = object.__new__(type(part))  # nothing but what its class has
    for method in ("weigh", "measure"):
        wanted = getattr(part, method)(a_loss(after), after)
        try:
            found = getattr(bare, method)(a_loss(after), after)
        except AttributeError as err:
            yield f"{method} must read nothing of the augmentation itself, as its attribute reads_masks_alone says, but reads {err.name!r}"
        else:
            if not same(found, wanted):
                yield f"{method} must give the same whatever the augmentation's own attributes are, as reads_masks_alone says, got something else"


def _weighed(case: AugmentationCase) -> Iterator[str]:
    part = case.build()
    after = changed(part, a_batch())
    yield from (f"weigh {fault}" for fault in weigh_faults(part.weigh, a_loss(after), after))


def _chance(case: AugmentationCase) -> Iterator[str]:
    part, before = case.build(), a_batch(20)
    faults: list[str] = []
    with no_shared_chance("draw", faults):
        noise, again = part.draw(before, stream(1)), part.draw(before, stream(1))
    with no_shared_chance("augment", faults):
        first, second = part.augment(before, noise), part.augment(before, noise)
    with no_shared_chance("weigh", faults):
        weighed, repeated = (part.weigh(a_loss(first), first) for _ in range(2))
    yield from faults
    if not same(dict(noise), dict(again)):
        yield "draw must give the same with the same seed, got something else"
    if not same(tensors(first), tensors(second)):
        yield "augment must give the same with the same noise, got something else"
    if not same(weighed, repeated):
        yield "weigh must give the same for the same batch, got something else"


def _use(part: AbstractAugmentation) -> tuple[Any, ...]:
    after = changed(part, a_batch())
    return tensors(after), part.weigh(a_loss(after), after), dict(part.measure(a_loss(after), after))


def _copies(case: AugmentationCase) -> Iterator[str]:
    return copy_faults(case.build, _use)


def _memory(case: AugmentationCase) -> Iterator[str]:
    part = case.build()
    first = changed(part, a_batch())
    wanted = part.weigh(a_loss(first), first)

    def disturb(part: AbstractAugmentation) -> None:
        """Other batch sizes, and a step that failed before its loss was weighed."""
        for trials in (2, 7):
            changed(part, a_batch(trials, seed=3), seed=2)

    yield from memory_faults(part, _use, disturb)
    disturb(part)
    if not same(part.weigh(a_loss(first), first), wanted):
        yield "the loss of a batch must be weighed the same after other batches. Let the batch carry what weigh needs, in batch.masks"


LAWS: tuple[Law[AugmentationCase], ...] = (
    Law("building gives an equal augmentation each time, of the registered name", _built, essential=True),
    Law("shapes and types stay, and what is no data is left alone", _shapes, essential=True),
    Law("nothing that is handed in is changed in place", _pure),
    Law("masks carry the augmentation's name, and others' stay", _masks),
    Law("missing values are dealt with, where that is promised", _missing),
    Law("trials that only fill a batch up do not count, where that is promised", _weights),
    Law("each trial is changed by itself, where that is promised", _by_trial),
    Law("the loss is weighed by masks alone, where that is promised", _masks_alone),
    Law("what costs more counts no less", _weighed),
    Law("chance comes from the given generator alone", _chance),
    Law("copies give the same", _copies),
    Law("nothing is remembered between calls", _memory),
)
