"""The validation pass: costs at the posterior means, and the plugins' metrics."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack, augmented
from lfads_core.components.batch import Batch
from lfads_core.components.evaluation import Evaluation
from lfads_core.config.optional import MaskedConfig
from lfads_core.data.loader import TrialSource, epoch_batches
from lfads_core.data.session import Session
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.total import Objective, Terms
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import MetricSpec
from lfads_core.rng import stream
from lfads_core.train.means import WeightedMeans
from lfads_core.train.step import Failures, each, forward_each
from lfads_core.train.unseen import Summed, UnseenCosts, heldout_costs, hide, masked_costs
from lfads_core.trial.kinds import number_faults


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """Costs of the whole validation split, and each session's predictions if they were asked for."""

    costs: Mapping[str, float]
    means: Mapping[str, np.ndarray]  # (B, T, N) by session, in the file's order; of data on disk, the sample's trials


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochResult:
    """What one epoch came to: its line of the log, and the validation behind it."""

    epoch: int
    row: dict[str, float]
    validation: Validation


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationPass:
    """One pass through the model; with ``kept``, the 0/1 masks of hidden input by session, it only prices what was hidden."""

    raw: Mapping[str, Batch]
    batches: Mapping[str, Batch]
    noise: Noise
    seen: Mapping[str, slice | Tensor]  # trials that metrics get to see, by session
    kept: Mapping[str, Tensor] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PricedPass:
    """What one pass came to, on the device: terms of the loss before their ramps, costs of what was not seen, and expected values by session."""

    terms: Terms | None
    unseen: Summed
    means: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Validator:
    """The validation passes of one training: posterior means without dropout; KL samples and masks are those of an epoch and seed.

    Besides the terms of the loss it prices ``heldout`` channels where there are any, and ``masked`` values if it is told how to hide them.
    """

    objective: Objective
    stack: AugmentationStack
    batch_size: int
    seed: int
    masked: MaskedConfig | None = None

    def __call__(self, model: LFADS, sources: Mapping[str, TrialSource], epoch: int, *, predict: bool) -> Validation:
        """Visit every trial once; ``predict`` keeps the predictions."""
        return validate_each({0: Tally(self, model, sources, epoch, predict=predict)})[0]

    def passes(self, model: LFADS, sources: Mapping[str, TrialSource], epoch: int) -> Iterator[ValidationPass]:
        """All trials, batch by batch; each batch as it is, then with values hidden, as often as that is asked for."""
        rng = stream(self.seed, "valid", epoch, device=model.device)
        for step, raw in enumerate(epoch_batches(sources, self.batch_size)):
            batches = augmented(raw, self.stack, model.config.encoder.ic_bins, rng)
            noise = model.draw_pass(batches, rng, sample=False, dropout=False)
            seen = {name: _seen(sources[name], batch) for name, batch in raw.items()}
            yield ValidationPass(raw=raw, batches=batches, noise=noise, seen=seen)
            if self.masked is not None:
                for number in range(self.masked.passes):
                    hidden, kept = hide(batches, self.masked, number, step)
                    yield ValidationPass(raw=raw, batches=hidden, noise=noise, seen=seen, kept=kept)


class Tally:
    """The passes of one model's validation, and the costs and predictions that are added up from them."""

    def __init__(self, validator: Validator, model: LFADS, sources: Mapping[str, TrialSource], epoch: int, *, predict: bool) -> None:
        self.validator, self.model, self.epoch, self.predict = validator, model, epoch, predict
        self.passes = validator.passes(model, sources, epoch)
        self.sums, self.unseen = WeightedMeans(), UnseenCosts()
        self.means: dict[str, list[np.ndarray]] = {}

    def price(self, one: ValidationPass, output: ModelOutput) -> PricedPass:
        """What the model made of one pass. Nothing here depends on the epoch."""
        model, validator = self.model, self.validator
        if one.kept is not None:
            return PricedPass(terms=None, unseen=masked_costs(model, one.raw, one.batches, output, one.kept), means={})
        terms = validator.objective.terms(model, one.batches, output, one.noise, validator.stack)
        means = {name: model.reconstructions[name].mean(params) for name, params in output.params.items()} if self.predict else {}
        return PricedPass(terms=replace(terms, per_value={}), unseen=heldout_costs(model, one.raw, one.batches, output), means=means)

    def add(self, one: ValidationPass, priced: PricedPass) -> None:
        """Take what a pass came to into the averages, copied; trials beyond those of the pass are left out."""
        self.unseen.take(priced.unseen)
        if priced.terms is not None:
            self.sums.add_losses(self.validator.objective.weighted(priced.terms, self.epoch), one.batches)
        for name, mean in priced.means.items():
            self.means.setdefault(name, []).append(mean[: one.raw[name].trials.shape[0]][one.seen[name]].to("cpu", copy=True).numpy())

    def validation(self) -> Validation:
        """All passes together."""
        means = {name: np.concatenate(parts) for name, parts in self.means.items()}
        return Validation(costs={**self.sums.averages(), **self.unseen.means()}, means=means)


@runtime_checkable
class Pricing(Protocol):
    """Something that prices everybody's passes at once: captured ones."""

    def price(self, tallies: Sequence[Tally], passes: Sequence[ValidationPass]) -> list[PricedPass] | None:
        """What each came to; None if they must be priced otherwise."""
        ...


@torch.no_grad()
def validate_each(tallies: Mapping[int, Tally], failed: Failures | None = None, pricing: Pricing | None = None) -> dict[int, Validation]:
    """Visit every trial of each once, in passes of all together. Who fails is added to ``failed``; if that is None, it raises."""
    left = dict(tallies)
    while left:
        given = {i: one for i, one in each({i: partial(next, tally.passes, None) for i, tally in left.items()}, failed).items() if one is not None}
        found = None if pricing is None or not given else pricing.price([left[i] for i in given], list(given.values()))
        priced = price_each({i: left[i] for i in given}, given, failed) if found is None else dict(zip(given, found, strict=True))
        left = {i: left[i] for i in each({i: partial(left[i].add, given[i], of) for i, of in priced.items()}, failed)}
    return each({i: tally.validation for i, tally in tallies.items() if i not in (failed or ())}, failed)


def price_each(tallies: Mapping[int, Tally], passes: Mapping[int, ValidationPass], failed: Failures | None) -> dict[int, PricedPass]:
    """What everybody's pass came to, but for those who fail."""
    outputs = forward_each({i: (tally.model, passes[i].batches, passes[i].noise) for i, tally in tallies.items()}, failed)
    return each({i: partial(tallies[i].price, passes[i], output) for i, output in outputs.items()}, failed)


def _seen(source: TrialSource, batch: Batch) -> slice | Tensor:
    """Which of a batch's trials metrics get to see."""
    if source.sample is None:
        return slice(None)
    return torch.isin(batch.trials.cpu(), torch.from_numpy(source.sample)).to(batch.trials.device)


def score(
    means: Mapping[str, np.ndarray],
    sessions: Sequence[Session],
    split: str,
    model: LFADS,
    registry: Registry,
    *,
    train_means: Mapping[str, np.ndarray] | None = None,
    taken: Collection[str] = (),
) -> dict[str, float]:
    """Every installed metric on predictions; several sessions give each its own and the plain mean.

    ``train_means`` are the predictions of the training trials, for metrics that fit something to them; ``taken`` are names of other numbers.

    A metric that fails is left out; plugins are told once by the registry's log.
    """
    scores: dict[str, dict[str, float]] = {}
    for session in sessions:
        if session.name in means:
            train = None if train_means is None else _evaluation(session, "train", train_means[session.name], model)
            evaluation = replace(_evaluation(session, split, means[session.name], model), train=train)
            scores[session.name] = score_session(evaluation, registry, taken)
    if len(scores) == 1:
        return next(iter(scores.values()))
    named = {f"{key}/{name}": value for name, row in scores.items() for key, value in row.items()}
    keys = {key for row in scores.values() for key in row}
    averaged = {key: float(np.mean([row[key] for row in scores.values() if key in row])) for key in sorted(keys)}
    return {**averaged, **named}


def _evaluation(session: Session, split: str, means: np.ndarray, model: LFADS) -> Evaluation:
    data = session.splits[split]
    reconstruction = model.reconstructions[session.name]
    return Evaluation(
        session=session.name,
        split=split,
        means=_locked(means),
        data=_locked(data.recon),
        encod_bins=data.encod.shape[1],
        encod_channels=data.encod.shape[2] if data.nested else 0,  # of another modality nothing was seen
        support=reconstruction.support,
        is_rate=reconstruction.is_rate,
        bin_ms=session.bin_ms,
        behaviour=session.behaviour,
        extras={key: _locked(values) for key, values in data.extras.items()},
    )


def _locked(values: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: a metric that tries fails, and nobody after it sees other data."""
    view = values.view()
    view.flags.writeable = False
    return view


def score_session(evaluation: Evaluation, registry: Registry, taken: Collection[str] = ()) -> dict[str, float]:
    """Every installed metric on one split of one session; one that fails, or gives a name that is ``taken``, is left out, and what is not finite.

    The log says so once.
    """
    found: dict[str, float] = {}
    for spec in registry.all(MetricSpec):
        numbers = registry.shield(MetricSpec, spec.name, partial(_numbers, spec, evaluation, {*found, *taken})) or {}
        for name, value in numbers.items():
            if math.isfinite(value):
                found[name] = value
            else:
                text = f"the metric {spec.name!r} must give finite numbers, or none, got {value} for {name!r}, which is left out"
                registry.tell_once(MetricSpec, spec.name, text)
    return found


def _numbers(spec: MetricSpec, evaluation: Evaluation, taken: Collection[str]) -> Mapping[str, float]:
    found = spec.compute(evaluation)
    for fault in number_faults(found):
        raise TypeError(f"compute {fault}")
    for name in sorted(found.keys() & taken):
        raise TypeError(f"compute must give numbers names of their own, but {name!r} is another's")
    return found
