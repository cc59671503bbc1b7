"""Which members of a population are alike, so that one pass can price them all, and their weights as one."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
import torch
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack, is_plain
from lfads_core.components.augmentation import AbstractAugmentation
from lfads_core.model.lfads import LFADS
from lfads_core.objective.terms import l2_shares, recurrent_kernels
from lfads_core.objective.total import Objective

log = logging.getLogger(__name__)


@runtime_checkable
class Compared(Protocol):
    """What is compared: a :class:`~lfads_core.train.step.StepOwner`."""

    model: LFADS
    objective: Objective
    train_stack: AugmentationStack


class StackedWeights:
    """All parameters and buffers of several models along a first axis. Parameters' gradients go there, and each model has its share of them.

    ``shares`` are those of the L2 terms, a list if all have the same, else a tensor with a row for each member; ``augmented_alike`` says whether
    their augmentations change batches in the same way.
    """

    def __init__(self, members: Sequence[Compared]) -> None:
        models = [member.model for member in members]
        named = [_state(model) for model in models]
        self.kept = {name: torch.stack([of[name].detach() for of in named]) for name in named[0]}
        self.trained = [name for name, value in model_parameters(models[0]).items() if value.requires_grad]
        self.own = [[of[name] for name in self.trained] for of in named]
        rows = [(row, of[name].detach()) for name, value in self.kept.items() for row, of in zip(value.unbind(0), named, strict=True)]
        shares = [l2_shares(recurrent_kernels(member.model, member.objective.config)) for member in members]
        differ = any(of != shares[0] for of in shares)
        self.shares: list[float] | Tensor = models[0].decoder.to_generator.weight.new_tensor(shares) if differ else shares[0]
        self.augmented_alike = _same(members, lambda member: [_settings(part) for part in member.train_stack.batch_order])
        self._pairs = [[pair for pair in rows if pair[0].dtype == dtype] for dtype in {row.dtype for row, _ in rows}]

    def leaves(self) -> dict[str, Tensor]:
        """Everybody's weights as they are now."""
        for pairs in self._pairs:
            torch._foreach_copy_([row for row, _ in pairs], [source for _, source in pairs])
        trained = set(self.trained)
        return {name: value.detach().requires_grad_(name in trained) for name, value in self.kept.items()}


_KNOWN: weakref.WeakKeyDictionary[LFADS, tuple[tuple[Any, ...], StackedWeights | None]] = weakref.WeakKeyDictionary()
"""By the first model, with all it was found for: module trees are walked when members change, not in every step."""


def stack_of(members: Sequence[Compared]) -> StackedWeights | None:
    """Their weights as one; None if they differ in what components compute, or cannot be told apart."""
    first = members[0].model
    who = tuple((id(member.model), id(member.train_stack), id(member.objective.config), _places(member.model)) for member in members)
    known = _KNOWN.get(first)
    if known is None or known[0] != who:
        alike = first.decoder.feedback != "rates" and _same(members, _described)
        known = _KNOWN[first] = who, StackedWeights(members) if alike else None
    return known[1]


def _same(members: Sequence[Compared], describe: Callable[[Compared], Any]) -> bool:
    """Whether a description is the same of all."""
    try:
        first, *others = map(describe, members)
        return all(other == first for other in others)
    except Exception:  # noqa: BLE001 - what a component keeps may refuse to be compared
        return False


def give_up(members: Sequence[Compared], why: BaseException) -> None:
    """Price these one by one from now on: a component does not work under ``torch.vmap``, say."""
    log.debug("members are priced one by one", exc_info=why)
    first = members[0].model
    if first in _KNOWN:
        _KNOWN[first] = _KNOWN[first][0], None


def model_parameters(model: LFADS) -> Mapping[str, Tensor]:
    """Parameters by name."""
    return dict(model.named_parameters())


def _places(model: LFADS) -> tuple[int, int]:
    """Where its first and last weights lie, which tells a model that was moved, or thawed, from what it was."""
    weights = [model.decoder.to_generator.weight, model.decoder.factors.weight]
    return weights[0].data_ptr(), weights[1].data_ptr()


def _state(model: LFADS) -> dict[str, Tensor]:
    return {**model_parameters(model), **dict(model.named_buffers())}


def _described(member: Compared) -> Any:
    """All that decides what a member's pass and price compute, but for weights, scales of terms, ramps, rates of dropout and augmented trials."""
    model, scales, stack = member.model, member.objective.config, member.train_stack
    if len(list(model.parameters())) != len(list(model.named_parameters(remove_duplicate=False))):
        raise ValueError("a weight that stands in two places has one gradient, but two places among those of all members")
    passes = attrs.evolve(model.config, dropout=0.0, variational=True), model.sizes, model.precision
    weights = [(name, value.shape, value.dtype, value.device, value.requires_grad) for name, value in _state(model).items()]
    parts = [(name, _settings(part)) for name, part in model.named_modules() if part is not model]
    of_loss = (dict(member.objective.losses), tuple(member.objective.latents), scales.reduce)
    return passes, weights, parts, model.loops.name, [_priced(part) for part in stack.loss_order], of_loss


def _priced(part: AbstractAugmentation) -> Any:
    """What decides how a part weighs and measures the loss."""
    return type(part) if part.reads_masks_alone or is_plain(part) else _settings(part)


def _settings(part: object) -> tuple[type, dict[str, Any]]:
    return type(part), {name: value for name, value in vars(part).items() if not name.startswith("_")}
