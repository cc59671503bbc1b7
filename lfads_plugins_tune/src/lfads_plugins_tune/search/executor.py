"""What carries out one generation of a search: the tasks it is given and the outcomes it yields."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class Task:
    """One member's share of a generation."""

    member: int
    path: Path  # the member's run folder
    overrides: Mapping[str, Any]  # every searched hyperparameter by config path, at its current value
    epochs: int  # train until this many epochs are done in total
    generation: int
    restart: bool  # continue from `path/start` (new or exploited weights) rather than from what is held or `last`
    files: Mapping[str, str] | None = None  # what `path` holds, as SHA-256 by path in it, where it lies in a storage


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one member's share of a generation ended."""

    member: int
    status: Literal["done", "diverged", "failed", "interrupted"]
    score: float | None  # lower is better; None unless done
    epochs: int
    seconds: float
    error: str | None = None  # one sentence when diverged or failed; of an interrupted one, that nothing was saved
    more: bool = False  # others that were trained in the same batch follow at once: they are journaled together
    files: Mapping[str, str] | None = None  # what the member's folder holds now, where it lies in a storage


@runtime_checkable
class Report(Protocol):
    """Hears each member's epoch, in the driver process."""

    def __call__(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """Take one epoch's numbers of one member."""
        ...


class AbstractExecutor(abc.ABC):
    """Trains the members of one generation; decisions never depend on the order in which outcomes arrive."""

    name: ClassVar[str]

    @abc.abstractmethod
    def generation(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Carry out one generation; yield an outcome per task, in any order, one for each that no stop came before."""

    def close(self) -> None:  # noqa: B027 - most executors hold nothing
        """Let go of processes and memory; may be called again."""
