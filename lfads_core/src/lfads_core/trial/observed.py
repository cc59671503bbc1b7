"""Calls of components, seen while a model makes its ordinary pass: methods are stood in for on the objects, and put back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import attrs
from torch import nn

from lfads_core.augment.stack import AugmentationStack
from lfads_core.origin import Provenance, origin_of
from lfads_core.plugins.loading import OURS
from lfads_core.plugins.record import Imported


@attrs.frozen(kw_only=True, eq=False)
class Method:
    """A method of a component that its contract declares: as it is, and as the contract has it."""

    part: Any
    origin: Provenance
    contract: str  # name of the class that declares it
    name: str
    call: Callable[..., Any]
    declared: Callable[..., Any]

    @property
    def is_of_contract(self) -> bool:
        """Whether it is the one that the contract has: what it calls are then calls of the framework."""
        return inspect.unwrap(getattr(self.call, "__func__", self.call)) is inspect.unwrap(self.declared)

    def __str__(self) -> str:
        """Read ``my-plugin 1.0 (entry point 'mine'): the prior 'laplace': kl``."""
        return f"{self.origin}: {'the call' if self.name == 'forward' else self.name}"


@runtime_checkable
class CallWatcher(Protocol):
    """Calls a method in the place of whoever does, and returns what it gave."""

    def __call__(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
        """Make the call."""
        ...


def components_of(model: nn.Module, stacks: Iterable[AugmentationStack]) -> list[Any]:
    """Every component that a plugin gave, each once; core's own are left out, which its tests hold to their contracts."""
    found = [*model.modules(), *(part for stack in stacks for part in (*stack.batch_order, *stack.loss_order))]
    return list({id(part): part for part in found if is_foreign(part)}.values())


def is_foreign(part: Any) -> bool:
    """Whether a plugin other than core's own gave it."""
    origin = origin_of(part)
    return origin is not None and not origin.provider.startswith("lfads-core ")


def is_strange(part: Any) -> bool:
    """Whether it is of no distribution of this project, whose own tests hold its components to their contracts."""
    origin = origin_of(part)
    return origin is not None and origin.provider.partition(" ")[0] not in OURS


def methods_of(part: Any) -> Iterator[Method]:
    """The methods that a component's contract declares; of one whose record names no contract, its own."""
    origin = origin_of(part)
    if origin is None:
        return
    contract = Imported(origin.contract).load() if origin.contract else type(part)
    for name in dict.fromkeys(name for cls in contract.__mro__ if cls not in nn.Module.__mro__ for name in vars(cls)):
        declared, call = inspect.getattr_static(contract, name), getattr(part, name, None)
        if not name.startswith("_") and inspect.isfunction(declared) and callable(call):
            yield Method(part=part, origin=origin, contract=contract.__name__, name=name, call=call, declared=declared)


@contextmanager
def watched(parts: Iterable[Any], watcher: CallWatcher) -> Iterator[None]:
    """Have the watcher make every call of these components, but for those that methods of their own make of themselves."""
    stood_in: list[tuple[Any, str]] = []
    try:
        for part in parts:
            inside: list[Any] = []
            for method in list(methods_of(part)):
                if method.name not in vars(part):
                    object.__setattr__(part, method.name, _stand_in(method, watcher, inside))
                    stood_in.append((part, method.name))
        yield
    finally:
        for part, name in stood_in:
            vars(part).pop(name, None)


def _stand_in(method: Method, watcher: CallWatcher, inside: list[Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if inside and not inside[-1].is_of_contract:
            return method.call(*args, **kwargs)
        inside.append(method)
        try:
            return watcher(method, args, kwargs)
        finally:
            inside.pop()

    return call
