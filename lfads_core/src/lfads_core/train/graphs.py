"""Work captured once and replayed, whatever it is: its buffers, its graph, and the proof that a replay does what the work does.

A replay repeats what the captured work did, operation by operation, on the same memory. So whatever differs from time to time lies in
buffers, written before each replay. The first replay of every graph is compared with the work itself: weights are put back in between, and what
counts is what the work itself came to. Where they do not agree nothing is lost, and nothing is replayed any more.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from lfads_core.model.lfads import LFADS
from lfads_core.model.rows import mapped, tensors_in

log = logging.getLogger(__name__)

REHEARSALS = 2
"""Times that work of one form is done operation by operation before it is captured: kernels are compiled, libraries loaded, moments made."""
MOST_FORMS = 8
"""Forms of one kind of work (numbers of trials of each session, mostly) that are captured; others are done operation by operation."""
NEAR, NEAR_CHANGE = 1e-3, 0.1
"""By how much of the largest a replay's numbers may differ, and by how much of its size what it changes: where a gradient is nothing but
rounding, AdamW makes a whole step of it."""

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Graph(Protocol):
    """Something that can do again what it once saw done on a device."""

    def rehearse(self, step: Callable[[], None]) -> None:
        """Take a step for real, where it will be captured."""
        ...

    def capture(self, step: Callable[[], None]) -> None:
        """See what a step does. Weights are as before."""
        ...

    def replay(self) -> None:
        """Do it."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Capturable(Generic[T]):
    """What is captured."""

    on_buffers: Callable[[Any], T]  # does it with what was copied into the buffers
    plainly: Callable[[], T]  # does the same as if there were no graphs
    changes: Callable[[], Sequence[Tensor]]  # what it writes to and is read later
    numbers: Callable[[T], Sequence[Tensor]]  # what must come out the same


class DisagreementError(Exception):
    """A replay did not do what the work does, which was done plainly in its place and came to ``result``."""

    def __init__(self, text: str, result: Any) -> None:
        super().__init__(text)
        self.result = result


class Captured(Generic[T]):
    """One form of some work: its buffers, and the graph that works on them."""

    def __init__(self, given: Any, graph: Graph) -> None:
        if any(value.requires_grad for value in tensors_in(given)):
            raise ValueError("augmentations and draws of noise must not carry gradients, which would be lost")
        self._buffers = mapped(given, torch.empty_like)
        self._graph, self._rehearsed, self._captured, self.proved = graph, 0, False, False
        self._result: list[T] = []

    def __call__(self, given: Any, work: Capturable[T]) -> T:
        """Put this time's tensors in place and do it. What it comes to holds until the next time.

        Raises:
            DisagreementError: a replay differs from the work; it holds what the work came to.
        """
        _copy(list(tensors_in(given)), list(tensors_in(self._buffers)))
        do = functools.partial(self._do, work)
        if self._rehearsed < REHEARSALS:
            self._rehearsed += 1
            self._graph.rehearse(do)
            return self._result[0]
        if not self._captured:
            self._graph.capture(do)
            self._captured = True
        if not self.proved:
            return self._prove(work)
        self._graph.replay()
        return self._result[0]

    def _do(self, work: Capturable[T]) -> None:
        self._result = [mapped(work.on_buffers(self._buffers), Tensor.detach)]

    def _prove(self, work: Capturable[T]) -> T:
        """Replay, put everything back, do the work itself, and compare."""
        changing = list(work.changes())
        before = _copies(changing)
        try:
            self._graph.replay()
            numbers, replayed = _copies(work.numbers(self._result[0])), _copies(changing)
        finally:
            with torch.no_grad():
                for value, was in zip(changing, before, strict=True):
                    value.copy_(was)
        result = work.plainly()
        expected = list(work.numbers(result))
        if not all(bool(torch.isfinite(value).all()) for value in expected):
            return result  # tells nothing; the next time will
        number, change = _apart(numbers, expected), _changed_apart(before, replayed, changing)
        if not (number <= NEAR and change <= NEAR_CHANGE):
            apart = f"numbers differ by {number:.2g} of the largest, changes by {change:.2g} of their size"
            raise DisagreementError(f"{apart}; at most {NEAR:g} and {NEAR_CHANGE:g} are allowed", result)
        self.proved = True
        return result


class Forms(Generic[T]):
    """Captured work by its form, within one world: what all forms take for granted."""

    def __init__(self, new_graph: Callable[[], Graph], what: str) -> None:
        self._new_graph, self._what, self._given_up = new_graph, what, False
        self._world: Hashable = None
        self._kept: dict[Hashable, T] = {}

    def forget(self) -> None:
        """Forms so far are no longer met."""
        self._kept = {}

    def count(self, wanted: Callable[[T], bool]) -> int:
        """How many there are of a kind."""
        return sum(map(wanted, self._kept.values()))

    def at(self, world: Hashable, form: Hashable, make: Callable[[Graph], T]) -> T | None:
        """That of a form, made if need be; None if there are too many."""
        if world != self._world:
            self._world, self._kept = world, {}
        if form not in self._kept:
            if len(self._kept) >= MOST_FORMS:
                return None
            self._kept[form] = make(self._new_graph())
        return self._kept[form]

    def attempt(self, work: Callable[[], R | None]) -> R | None:
        """What it comes to; None if it must be done otherwise, and nothing has been done. A failure is said once and ends all capturing."""
        if self._given_up:
            return None
        try:
            return work()
        except DisagreementError as error:
            self._give_up(f"train.cuda_graph: a captured {self._what} did not agree with the same one as it is taken otherwise ({error})")
            done: R = error.result
            return done
        except Exception as error:  # noqa: BLE001 - whatever hinders a capture, training need not end for it
            text = " ".join(str(error).split())[:300]
            self._give_up(f"train.cuda_graph: a {self._what} could not be captured ({type(error).__name__}: {text})")
            return None

    def _give_up(self, text: str) -> None:
        self._given_up, self._kept = True, {}
        log.warning("%s. Each is taken operation by operation.", text)


def form_of(value: Any) -> Hashable:
    """Shapes and types of all tensors of something, and everything else in it."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype, value.device
    if is_dataclass(value):
        return tuple((field.name, form_of(getattr(value, field.name))) for field in fields(value))
    if isinstance(value, Mapping):
        return tuple((key, form_of(part)) for key, part in value.items())
    return tuple(map(form_of, value)) if isinstance(value, (tuple, list)) else value


def world_of(model: LFADS) -> Hashable:
    """What captured passes of a model take for granted: its loops, and where its weights lie."""
    return model.loops.name, model.precision, tuple(value.data_ptr() for value in (*model.parameters(), *model.buffers()))


def _apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Largest difference of a value, as a share of the largest value of its tensor; values of no size beside all others do not count."""
    if not other:
        return 0.0
    scale = torch.stack([value.abs().max() for value in other if value.numel()]).max()
    shares = [(a - b).abs().max() / (b.abs().max() + 1e-6 * scale).clamp(min=1e-30) for a, b in zip(one, other, strict=True) if b.numel()]
    return float(torch.stack([share.double() for share in shares]).nan_to_num(nan=torch.inf).max())


def _changed_apart(before: Sequence[Tensor], one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Euclidean norm of the difference of two changes of all tensors together, as a share of the second's."""
    rows = [(was.double(), a.double(), b.detach().double()) for was, a, b in zip(before, one, other, strict=True)]
    if not rows:
        return 0.0
    difference = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(a - b) for _, a, b in rows]))
    size = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(b - was) for was, _, b in rows]))
    return float((difference / size.clamp(min=1e-30)).nan_to_num(nan=torch.inf))


def _copies(values: Sequence[Tensor]) -> list[Tensor]:
    return [value.detach().clone() for value in values]


def _copy(given: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    """Copy all, those of one type in one call."""
    for dtype in {value.dtype for value in given}:
        pairs = [(buffer, value) for buffer, value in zip(into, given, strict=True) if value.dtype == dtype]
        torch._foreach_copy_([buffer for buffer, _ in pairs], [value for _, value in pairs])
