"""A plugin's executor and algorithm, each so that what it raises is told in one sentence that names the plugin; what is done stays done."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lfads_core.config.spaces import SpaceConfig
from lfads_core.plugins.registry import Registry
from lfads_core.wording import a
from lfads_plugins_tune.search.algorithm import AbstractAlgorithm
from lfads_plugins_tune.search.executor import AbstractExecutor, Outcome, Report, Task
from lfads_plugins_tune.search.plan import Chances
from lfads_plugins_tune.search.state import Member, SearchState
from lfads_plugins_tune.specs import ExecutorSpec, SearchSpec


@dataclass(frozen=True)
class BlamedExecutor(AbstractExecutor):
    """The executor called ``name``."""

    executor: AbstractExecutor
    name: str  # type: ignore[misc]  # of each, not of the class
    registry: Registry

    def generation(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Carry out one generation."""
        outcomes = self.registry.blame(ExecutorSpec, self.name, lambda: iter(self.executor.generation(tasks, report, should_stop)))
        left = {task.member for task in tasks}
        while (outcome := self.registry.blame(ExecutorSpec, self.name, lambda: _one_of(next(outcomes, None), left))) is not None:
            left.discard(outcome.member)
            yield outcome

    def close(self) -> None:
        """Let go of processes and memory."""
        self.registry.shield(ExecutorSpec, self.name, self.executor.close, "the search goes on")


class BlamedAlgorithm(AbstractAlgorithm):
    """The algorithm called ``name``."""

    def __init__(self, name: str, registry: Registry) -> None:
        self.name, self.registry = name, registry
        self.algorithm = registry.blame(SearchSpec, name, lambda: _an_algorithm(registry.get(SearchSpec, name).build()))

    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
        """The members of the first generation."""
        return self.registry.blame(SearchSpec, self.name, lambda: _members(self.algorithm.first(spaces, number, chances), spaces, ()))

    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> tuple[Member, ...]:
        """Every member in the next generation."""
        there = [member.member for member in state.members]
        return self.registry.blame(
            SearchSpec, self.name, lambda: _members(self.algorithm.following(state, scores, chances, compete=compete), state.spaces, there)
        )


def _an_algorithm(built: object) -> AbstractAlgorithm:
    if not isinstance(built, AbstractAlgorithm):
        raise TypeError(f"build must give an AbstractAlgorithm, got {a(type(built).__name__)}")
    return built


def _one_of(outcome: object, left: Collection[int]) -> Outcome | None:
    """An outcome of a task that had none yet, or None at the end.

    Raises:
        TypeError: it is something else.
        ValueError: it is of no such task.
    """
    if outcome is not None and not isinstance(outcome, Outcome):
        raise TypeError(f"generation must yield outcomes, got {a(type(outcome).__name__)}")
    if outcome is not None and outcome.member not in left:
        raise ValueError(f"generation must yield one outcome for each task, got another one of member {outcome.member}")
    return outcome


def _members(found: Iterable[Member], spaces: Collection[str], parents: Collection[int]) -> tuple[Member, ...]:
    """Members that can be set out: with numbers of their own, values of the spaces that are searched, and parents that there are.

    Raises:
        TypeError: there are none, or something else.
        ValueError: they cannot be.
    """
    members = tuple(found)
    if not members or not all(isinstance(member, Member) for member in members):
        got = next((a(type(member).__name__) for member in members if not isinstance(member, Member)), "none")
        raise TypeError(f"must give the members of a generation, got {got}")
    numbers = [member.member for member in members]
    for member in members:
        if numbers.count(member.member) > 1:
            raise ValueError(f"must give each member once, got member {member.member} twice")
        if odd := sorted(member.values.keys() - set(spaces)):
            raise ValueError(f"must give values of what is searched, got {odd[0]} for member {member.member}")
        if none := sorted(key for key, value in member.values.items() if isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"must give finite values, got {member.values[none[0]]} of {none[0]} for member {member.member}")
        if member.parent is not None and member.parent not in parents:
            raise ValueError(f"must give parents that there are, got {member.parent} for member {member.member}")
    return members
