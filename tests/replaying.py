"""What a CUDA graph would do with a step, on a CPU: operations that a device could not capture are refused, the others recorded and run again.

A recording holds every operation below autograd with the very tensors it read and wrote. Running it again reads and writes these tensors and
nothing else, as a graph does: numbers that Python handed over, and tensors that were made since, do not exist for it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

HOST_READS = {
    "_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "equal", "_unique2", "unique_dim", "unique_consecutive",
    "repeat_interleave",
}  # fmt: skip
"""Operations whose result the host must wait for, or whose shape depends on data."""
EMPTY = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


class RefusedError(RuntimeError):
    """An operation that makes the host wait."""


class AsksNothing(TorchDispatchMode):
    """Refuses every operation that the host would have to wait for, by its name and the line that asked for it."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look, then run."""
        self.look(function, args, kwargs or {})
        return self.run(function, args, kwargs or {})

    def look(self, function: Any, args: Any, kwargs: Any) -> None:
        """Raise if the host would wait."""
        name = name_of(function)
        by_mask = name in {"index", "index_put", "index_put_"} and any(i is not None and i.dtype in {torch.bool, torch.uint8} for i in args[1])
        counted = name == "repeat_interleave" and kwargs.get("output_size") is not None
        if (name in HOST_READS and not counted) or by_mask or _moves(name, args, kwargs):
            raise RefusedError(f"{name} makes the host wait, asked for in {asking_line()}")

    def run(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run it."""
        return function(*args, **kwargs)


def name_of(function: Any) -> str:
    """Name of an operation without its overload."""
    return str(function.overloadpacket.__name__)


def _moves(name: str, args: Any, kwargs: Any) -> bool:
    """Whether values go from one device to another while the host waits: always on the way back, and on the way there unless it is told not to."""
    if name == "_to_copy":
        to = kwargs.get("device")
        waits = to is not None and (to.type == "cpu" or not kwargs.get("non_blocking", False))
        return waits and args[0].device.type != to.type
    if name == "copy_":
        waits = args[0].device.type == "cpu" or not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        return waits and args[0].device.type != args[1].device.type
    return False


def asking_line() -> str:
    """File and line of our code that is being executed."""
    frames = [f for f in traceback.extract_stack() if "lfads_" in f.filename and "/src/" in f.filename]
    return f"{frames[-1].filename.rpartition('/src/')[2]}: {frames[-1].line}" if frames else "no line of ours"


class Recorder(AsksNothing):
    """Keeps every operation with what it read and made; what was there before and is written to can be put back."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._made: set[int] = set()
        self._before: list[tuple[Tensor, Tensor]] = []

    def look(self, function: Any, args: Any, kwargs: Any) -> None:
        """Refuse chance as well, which is drawn beforehand."""
        super().look(function, args, kwargs)
        if torch.Tag.nondeterministic_seeded in function.tags:
            raise RefusedError(f"{name_of(function)} draws numbers, asked for in {asking_line()}")

    def run(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run it and keep it."""
        for given in written(function, args, kwargs):
            if given.untyped_storage().data_ptr() not in self._made and not any(given is known for known, _ in self._before):
                self._before.append((given, given.clone()))
        out = function(*args, **kwargs)
        if function.namespace == "aten":
            if not is_view(function):
                self._made |= {x.untyped_storage().data_ptr() for x in tree_leaves(out) if isinstance(x, Tensor)} - self._storages(args, kwargs)
            self.calls.append((function, args, kwargs, out))
        return out

    @staticmethod
    def _storages(args: Any, kwargs: Any) -> set[int]:
        return {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}

    def put_back(self) -> None:
        """Undo what was written to what had been there before."""
        with torch.no_grad():
            for given, before in self._before:
                given.copy_(before)

    def numbers(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Each operation by name, with the shapes of its tensors and all else that Python handed over."""
        return [(str(function), tuple(_plain(x) for x in tree_leaves((args, kwargs)))) for function, args, kwargs, _ in self.calls]


def _plain(value: Any) -> Any:
    """A tensor's shape and type; anything else as it is."""
    return (tuple(value.shape), str(value.dtype), value.device.type) if isinstance(value, Tensor) else value


def written(function: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Tensors that an operation writes to."""
    found = []
    for position, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            found += [x for x in tree_leaves(value) if isinstance(x, Tensor)]
    return found


def is_view(function: Any) -> bool:
    """Whether an operation returns memory that it was given."""
    return any(result.alias_info is not None for result in function._schema.returns)


class StandIn:
    """A graph on a CPU: capture records a step and undoes it, replay runs the recording again on the same tensors."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.rehearsed = self.replayed = 0

    def rehearse(self, step: Callable[[], None]) -> None:
        """Take a step."""
        self.rehearsed += 1
        step()

    def capture(self, step: Callable[[], None]) -> None:
        """Record it; weights and moments are as before."""
        self.recorder = Recorder()
        try:
            with self.recorder:
                step()
        finally:
            self.recorder.put_back()

    def replay(self) -> None:
        """Every operation again. Memory that it finds empty is full of NaN, as it might be."""
        if self.recorder is None:
            raise RuntimeError("nothing was captured")
        self.replayed += 1
        with torch._C._AutoDispatchBelowAutograd():
            for function, args, kwargs, out in self.recorder.calls:
                again = function(*args, **kwargs)
                if not is_view(function):
                    tree_map(_copied, out, _poisoned(again) if name_of(function) in EMPTY else again)


def _copied(kept: Any, again: Any) -> None:
    if isinstance(kept, Tensor):
        kept.copy_(again)


def _poisoned(value: Tensor) -> Tensor:
    return value.fill_(torch.nan) if value.is_floating_point() else value.zero_()
