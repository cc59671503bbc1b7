"""One call that was made of a component's method, and what must hold for what came of it: there, back, again, and for each trial alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lfads_core.errors import PluginError
from lfads_core.model.rows import mapped, tensors_in
from lfads_core.origin import failure, is_fault
from lfads_core.rng import stream
from lfads_core.trial.kinds import GIVES_NO_GRADIENT
from lfads_core.trial.observed import Method
from lfads_core.trial.shapes import Sizes, letters, may_be_none, misfit
from lfads_core.trial.trees import a_value, copied

_ROUNDING = 1e-3
"""Relative difference that products of other sizes may have, in float32 and with a large sum behind it."""

_WITH_MEANS = {("AbstractAugmentation", "weigh")}
"""Methods that may look at means over all trials of a batch, such as the share that was observed."""


class SpoiltError(PluginError):
    """A component gives no numbers, or none to learn from. Weights that a training has driven far away are another reason than its code."""


class CallMade:
    """A call that was made, and what came of it."""

    def __init__(self, method: Method, given: Mapping[str, Any], result: Any, sizes: Sizes) -> None:
        self.method, self.given, self.result, self.sizes = method, given, result, sizes
        self.like = next((x for x in tensors_in(given) if x.is_floating_point()), None)

    def given_rightly(self) -> Iterator[str]:
        """Whether it is a tensor where it must be, of the contract's shape, of the arguments' type and device."""
        text = letters(self.method.declared).get("return")
        if self.result is None and may_be_none(self.method.declared):
            return
        if text is not None and not isinstance(self.result, Tensor):
            yield f"must give a tensor, got {a_value(self.result)}"
            return
        if text is not None and (wanted := misfit(text, self.sizes, tuple(self.result.shape))) is not None:
            yield f"must give the shape {wanted}, got {tuple(self.result.shape)}"
        yield from self._placed_rightly(of_one_type=text is not None)

    def _placed_rightly(self, *, of_one_type: bool) -> Iterator[str]:
        like = self.like if self.like is not None else next(iter(weights_of(self.method.part).values()), None)
        for value in tensors_in(self.result):
            if like is not None and value.device != like.device:
                yield f"must give what lies on the device {like.device}, as its arguments do, got {value.device}"
            elif like is not None and value.is_floating_point() and value.dtype != like.dtype:
                yield f"must give numbers of the type {_type(like.dtype)}, as its arguments are, got {_type(value.dtype)}"
            elif of_one_type and not value.is_floating_point():
                yield f"must give numbers of the type {_type(torch.get_default_dtype())}, got {_type(value.dtype)}"

    def in_numbers(self) -> Iterator[str]:
        """Whether it is finite where the arguments are."""
        for value in tensors_in(self.result):
            if not bool(torch.isfinite(value.detach()).all()) and _finite(self.given):
                bad = value.detach()[~torch.isfinite(value.detach())]
                yield f"must give finite numbers, got {bad.reshape(-1)[0].item()} in {bad.numel()} of {value.numel()}"

    def equals(self, other: Any) -> bool:
        """Whether another call gave the same, to rounding."""
        mine, its = list(tensors_in(self.result)), list(tensors_in(other))
        return _keys(self.result) == _keys(other) and len(mine) == len(its) and all(map(_close, mine, its))

    def the_same_again(self, again: Any) -> Iterator[str]:
        """Whether a second call with equal arguments, and an equal generator of random numbers, gives the same."""
        if not self.equals(again):
            yield "must give the same when it is called twice with the same, got something else. Keep nothing, and draw from the given generator"

    def the_way_back(self, given: Mapping[str, Any], result: Any) -> Iterator[tuple[str, type[PluginError]]]:
        """Whether gradients reach what they should, and are finite. ``given`` begins gradients of its own."""
        if self.method.name in GIVES_NO_GRADIENT:
            return
        leaves = {(name, i): x for name, value in given.items() for i, x in enumerate(tensors_in(value)) if x.requires_grad}
        trained = [x for x in self.method.part.parameters() if x.requires_grad] if isinstance(self.method.part, nn.Module) else []
        ends = [x for x in tensors_in(result) if x.is_floating_point() and x.requires_grad]
        if not ends:
            if (leaves or trained) and any(bool(x.detach().any()) for x in tensors_in(result)):
                to = ", ".join(dict.fromkeys(name for name, _ in leaves)) or "its parameters"
                yield f"must pass gradients on to {to}, but what it gives carries none: it is detached, or made anew", PluginError
            return
        chance = stream(0, "trial", device=ends[0].device)
        weights = [torch.empty_like(x).normal_(generator=chance) for x in ends]
        try:
            slopes = torch.autograd.grad(ends, [*leaves.values(), *trained], weights, allow_unused=True)
        except (Exception, SystemExit) as err:
            if not is_fault(err):
                raise
            raise failure(self.method.origin, f" in {self.method.name}, on the way back", err) from err
        for slope in slopes:
            if slope is not None and not bool(torch.isfinite(slope).all()):
                bad = slope[~torch.isfinite(slope)]
                yield f"must have finite gradients, got {bad[0].item()} in {bad.numel()} of {slope.numel()}", SpoiltError
        if (self.method.contract, self.method.name) == ("AbstractReconstruction", "nll"):
            reached = dict(zip(leaves, slopes, strict=False)).get(("params", 0))
            if reached is None or not bool(reached.any()):
                yield "must pass a gradient on to params, or nothing is learnt, got none", PluginError if reached is None else SpoiltError

    def trials_alone(self) -> Iterator[str]:
        """Whether every trial gets what it would get without the others, and in another order."""
        if not isinstance(self.result, Tensor) or (self.method.contract, self.method.name) in _WITH_MEANS:
            return
        text, names = letters(self.method.declared), set(self.given)
        leads = {name for name in names if text.get(name, "").split(" ")[0] in {"B", "*B"}}
        if text.get("return", "").split(" ")[0] not in {"B", "*B"} or not leads:
            return
        trials = next(iter(tensors_in(self.given[min(leads)]))).shape[0]
        if trials < 2 or not all(x.shape[:1] == (trials,) for x in tensors_in(self.given)) or self._uses_chance():
            return
        for rows in (torch.arange(1, trials, 2).flip(0), torch.arange(1)):
            got, wanted = called_by_name(self.method, _rows_of(self.given, rows)), self.result.detach()[rows.to(self.result.device)]
            if isinstance(got, Tensor) and got.shape != wanted.shape:
                yield f"must give the shape {tuple(wanted.shape)} to a batch of {len(rows)}, such as an epoch may end with, got {tuple(got.shape)}"
            elif not _close(wanted, got):
                yield "must give each trial what it gets alone, but gives something else when other trials are beside it"

    def in_other_modes(self, given: Mapping[str, Any]) -> Iterator[str]:
        """Whether it is the same in a validation, which needs no gradients, and in eval mode, in which a trained model is loaded."""
        for when in ("without gradients, as in a validation", "in eval mode, in which a trained model is loaded"):
            with torch.set_grad_enabled("eval" in when), _evaluating(self.method.part, on="eval" in when):
                found = called_by_name(self.method, copied(given))
            if not self.equals(found):
                yield f"must give the same {when}, got something else"

    def _uses_chance(self) -> bool:
        return any(isinstance(value, torch.Generator) for value in self.given.values())


@contextmanager
def _evaluating(part: Any, *, on: bool) -> Iterator[None]:
    """Have a module in eval mode meanwhile."""
    modes = {module: module.training for module in part.modules()} if on and isinstance(part, nn.Module) else {}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def called(method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Make a call.

    Raises:
        PluginError: something was raised in it.
    """
    try:
        return method.call(*args, **kwargs)
    except (Exception, SystemExit) as err:
        if not is_fault(err):
            raise
        raise failure(method.origin, f" in {method.name}", err) from err


def called_by_name(method: Method, given: Mapping[str, Any]) -> Any:
    """Call with arguments by the contract's names, in its order, for a component may call them otherwise."""
    known = inspect.signature(method.declared).parameters
    if not given.keys() <= known.keys():
        return called(method, tuple(given.values()), {})
    by_name = {name: given[name] for name in known if name in given and known[name].kind is inspect.Parameter.KEYWORD_ONLY}
    return called(method, tuple(given[name] for name in known if name in given and name not in by_name), by_name)


def _rows_of(given: Mapping[str, Any], rows: Tensor) -> dict[str, Any]:
    return {name: mapped(copied(value), lambda x: x.detach()[rows.to(x.device)]) for name, value in given.items()}


def weights_of(part: Any) -> dict[str, Tensor]:
    """Copies of a component's parameters and buffers."""
    return {key: x.detach().clone() for key, x in _held(part)}


def _held(part: Any) -> list[tuple[str, Tensor]]:
    """Parameters and buffers by name; the names say which are trained."""
    if not isinstance(part, nn.Module):
        return []
    return [(f"{key}{' trained' * x.requires_grad}", x) for key, x in part.state_dict(keep_vars=True).items()]


def _finite(given: Any) -> bool:
    return all(bool(torch.isfinite(x).all()) for x in tensors_in(given) if x.is_floating_point())


def _close(one: Tensor, other: Any) -> bool:
    if not isinstance(other, Tensor) or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    size = float(one.detach().abs().nan_to_num(0.0, posinf=0.0).max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=_ROUNDING, atol=1e-5 * size + 1e-12, equal_nan=True)


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Mapping) else []


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
