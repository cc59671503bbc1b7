"""What must hold for every call of a component, whatever its kind: what it may touch, what it gives, and the way back through it."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from lfads_core.errors import PluginError
from lfads_core.model.rows import mapped, tensors_in
from lfads_core.trial.compare import no_shared_chance, same
from lfads_core.trial.kinds import faults_of_kind
from lfads_core.trial.made import CallMade, SpoiltError, called, called_by_name, weights_of
from lfads_core.trial.observed import Method
from lfads_core.trial.shapes import Sizes, bound_arguments, sizes_of
from lfads_core.trial.trees import copied, held, leaves_of
from lfads_core.world import put_back, world

log = logging.getLogger(__name__)

ONE_AT_A_TIME = threading.Lock()
"""Held by who tries: standard output and shared generators of random numbers belong to the whole process."""


class Trial:
    """Tries each method of each component once with every shape of arguments.

    ``known`` has lengths of axes by component that calls do not show, ``trained`` the ids of all parameters of the model (None: not looked at).
    What is only told, as that something prints, is not told ``again``.

    Raises, from within the call:
        PluginError: something does not hold; of numbers that are not finite, and gradients that are nothing, it is a :class:`SpoiltError`.
    """

    def __init__(self, known: Mapping[int, Sizes], trained: Collection[int] | None = None, *, again: bool = False) -> None:
        self._known, self._trained, self._tried, self._again = known, trained, set[Any](), again

    def __call__(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Try a call."""
        key = (id(method.part), method.name, tuple(tuple(x.shape) for x in tensors_in([args, kwargs])))
        if key in self._tried:
            return method.call(*args, **kwargs)
        self._tried.add(key)
        given = bound_arguments(method.declared, args, kwargs)
        sizes = {**sizes_of(method.declared, given), **self._known.get(id(method.part), {})}
        fresh, kept, weights = copied(given), copied(given), weights_of(method.part)
        result = _alone(method, args, kwargs, tell=not self._again)
        after = CallMade(method, given, result, sizes)
        _refuse(method, self._touched(kept, given, weights, method.part))
        _refuse(method, after.given_rightly())
        _refuse(method, after.in_numbers(), SpoiltError)
        _refuse(method, faults_of_kind(method, given, result, sizes))
        first = held(method.part)
        again = called_by_name(method, fresh)
        _refuse(method, after.the_same_again(again))
        if not same(first, held(method.part)):
            _refuse(method, ["must keep nothing between calls, but the component holds something else after a second call"])
        for fault, error in after.the_way_back(fresh, again):
            _refuse(method, [fault], error)
        _refuse(method, self._strays(fresh, again))
        _refuse(method, after.in_other_modes(kept))
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
        if not same(weights, weights_of(part)):
            yield "must leave the component's own parameters and buffers as they are, but changed them"


def _alone(method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, tell: bool) -> Any:
    """Make a call: it must not raise, draw from what all share, or print.

    Raises:
        PluginError: it does the first or the second. The third is a warning.
    """
    faults: list[str] = []
    before = world()
    with listening() as said, no_shared_chance("", faults):
        result = called(method, args, kwargs)
    if changed := put_back(before):
        _refuse(method, [f"must leave what all of a process shares as it is, but changed {changed}"])
    if said and tell:
        log.warning(
            "%s must not print, got %r. Its authors may use the module logging, which keeps the output of --json clean.", method, said[0][:60].strip()
        )
    _refuse(method, [f"must draw random numbers from the generator it is given alone, but{fault}" for fault in faults])
    return result


def _refuse(method: Method, faults: Any, error: type[PluginError] = PluginError) -> None:
    for fault in faults:
        raise error(f"{method} {fault}. `lfads plugins check {method.origin.name}` tries all that must hold.")


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
