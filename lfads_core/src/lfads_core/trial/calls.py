"""What must hold for every call of a component, whatever its kind: what it may touch, what it gives, and the way back through it."""

from __future__ import annotations

import inspect
import io
import logging
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lfads_core.errors import PluginError
from lfads_core.model.rows import mapped, tensors_in
from lfads_core.model.world import put_back, world
from lfads_core.origin import failure, is_fault
from lfads_core.rng import stream
from lfads_core.trial.compare import no_shared_chance, same
from lfads_core.trial.kinds import GIVES_NO_GRADIENT, faults_of_kind
from lfads_core.trial.observed import Method
from lfads_core.trial.shapes import Sizes, bound_arguments, letters, may_be_none, misfit, sizes_of
from lfads_core.trial.trees import a_value, copied, held, leaves_of

log = logging.getLogger(__name__)

ONE_AT_A_TIME = threading.Lock()
"""Held by who tries: standard output and shared generators of random numbers belong to the whole process."""

_ROUNDING = 1e-3
"""Relative difference that products of other sizes may have, in float32 and with a large sum behind it."""


_WITH_MEANS = {("AbstractAugmentation", "weigh")}
"""Methods that may look at means over all trials of a batch, such as the share that was observed."""


class SpoiltError(PluginError):
    """A component gives no numbers, or none to learn from. Weights that a training has driven far away are another reason than its code."""


class Trial:
    """Tries each method of each component once with every shape of arguments.

    ``known`` has lengths of axes by component that calls do not show, ``trained`` the ids of all parameters of the model (None: not looked at).

    Raises, from within the call:
        PluginError: something does not hold; of numbers that are not finite, and gradients that are nothing, it is a :class:`SpoiltError`.
    """

    def __init__(self, known: Mapping[int, Sizes], trained: Collection[int] | None = None) -> None:
        self._known, self._trained, self._tried = known, trained, set[Any]()

    def __call__(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Try a call."""
        key = (id(method.part), method.name, tuple(tuple(x.shape) for x in tensors_in([args, kwargs])))
        if key in self._tried:
            return method.call(*args, **kwargs)
        self._tried.add(key)
        given = bound_arguments(method.declared, args, kwargs)
        sizes = {**sizes_of(method.declared, given), **self._known.get(id(method.part), {})}
        fresh, kept, weights = copied(given), copied(given), _weights(method.part)
        result = _alone(method, args, kwargs)
        after = _Call(method, given, result, sizes)
        _refuse(method, self._touched(kept, given, weights, method.part))
        _refuse(method, after.given_rightly())
        _refuse(method, after.in_numbers(), SpoiltError)
        _refuse(method, faults_of_kind(method, given, result, sizes))
        first = held(method.part)
        again = _called_by_name(method, fresh)
        _refuse(method, after.the_same_again(again))
        if not same(first, held(method.part)):
            _refuse(method, ["must keep nothing between calls, but the component holds something else after a second call"])
        for fault, error in after.the_way_back(fresh, again):
            _refuse(method, [fault], error)
        _refuse(method, self._strays(fresh, again))
        _refuse(method, after.trials_alone())
        return result

    def _strays(self, given: Any, result: Any) -> Iterator[str]:
        """Weights that a result depends on, and that no optimiser would find and no checkpoint keep."""
        known = {id(x) for x in tensors_in(given)} | set(self._trained or ())
        if self._trained is not None and any(id(x) not in known for x in leaves_of(result)):
            yield "must hold what is to be trained as parameters (torch.nn.Parameter as attributes of the module), but uses some that nobody trains"

    @staticmethod
    def _touched(kept: Any, given: Any, weights: Any, part: Any) -> Iterator[str]:
        for name, value in kept.items():
            if isinstance(value, torch.Generator):
                continue
            if not same(mapped(value, torch.Tensor.detach), mapped(copied(given[name]), torch.Tensor.detach)):
                yield f"must leave '{name}' as it was, but changed it in place. Return something new"
        if not same(weights, _weights(part)):
            yield "must leave the component's own parameters and buffers as they are, but changed them"


class _Call:
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
        like = self.like if self.like is not None else next(iter(_weights(self.method.part).values()), None)
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

    def the_same_again(self, again: Any) -> Iterator[str]:
        """Whether a second call with equal arguments, and an equal generator of random numbers, gives the same."""
        one, other = list(tensors_in(self.result)), list(tensors_in(again))
        if _keys(self.result) != _keys(again) or len(one) != len(other) or not all(_close(a, b) for a, b in zip(one, other, strict=True)):
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
        rows = torch.arange(1, trials, 2).flip(0)
        some = {name: mapped(copied(value), lambda x: x.detach()[rows.to(x.device)]) for name, value in self.given.items()}
        if not _close(self.result.detach()[rows.to(self.result.device)], _called_by_name(self.method, some)):
            yield "must give each trial what it gets alone, but gives something else when other trials are beside it"

    def _uses_chance(self) -> bool:
        return any(isinstance(value, torch.Generator) for value in self.given.values())


def _alone(method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Make a call: it must not raise, draw from what all share, or print.

    Raises:
        PluginError: it does the first or the second. The third is a warning.
    """
    faults: list[str] = []
    before = world()
    with listening() as said, no_shared_chance("", faults):
        result = _called(method, args, kwargs)
    if (after := world()) != before:
        put_back(before)
        changed = ", ".join(key for key in before if before[key] != after[key])
        _refuse(method, [f"must leave what all of a process shares as it is, but changed {changed}"])
    if said:
        log.warning(
            "%s must not print, got %r. Its authors may use the module logging, which keeps the output of --json clean.", method, said[0][:60].strip()
        )
    _refuse(method, [f"must draw random numbers from the generator it is given alone, but{fault}" for fault in faults])
    return result


def _called(method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    try:
        return method.call(*args, **kwargs)
    except (Exception, SystemExit) as err:
        if not is_fault(err):
            raise
        raise failure(method.origin, f" in {method.name}", err) from err


def _called_by_name(method: Method, given: Mapping[str, Any]) -> Any:
    """Call with arguments by the contract's names, in its order, for a component may call them otherwise."""
    known = inspect.signature(method.declared).parameters
    if not given.keys() <= known.keys():
        return _called(method, tuple(given.values()), {})
    by_name = {name: given[name] for name in known if name in given and known[name].kind is inspect.Parameter.KEYWORD_ONLY}
    return _called(method, tuple(given[name] for name in known if name in given and name not in by_name), by_name)


def _refuse(method: Method, faults: Any, error: type[PluginError] = PluginError) -> None:
    for fault in faults:
        raise error(f"{method} {fault}. `lfads plugins check {method.origin.name}` tries all that must hold.")


def _weights(part: Any) -> dict[str, Tensor]:
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
    size = float(one.detach().abs().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=_ROUNDING, atol=1e-5 * size + 1e-12, equal_nan=True)


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Mapping) else []


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@contextmanager
def listening() -> Iterator[list[str]]:
    """What this thread prints meanwhile; other threads print as ever."""
    said: list[str] = []
    out, me = sys.stdout, threading.get_ident()

    class Tee(io.TextIOBase):
        def write(self, text: str, /) -> int:
            if threading.get_ident() == me:
                said.append(text)
                return len(text)
            return out.write(text)

        def flush(self) -> None:
            out.flush()

    sys.stdout = Tee()
    try:
        yield said
    finally:
        sys.stdout = out
