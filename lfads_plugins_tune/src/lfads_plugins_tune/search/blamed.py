"""A plugin's executor and algorithm, each so that what it raises is told in one sentence that names the plugin; what is done stays done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lfads_core.config.spaces import SpaceConfig
from lfads_core.plugins.registry import Registry
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
        while (outcome := self.registry.blame(ExecutorSpec, self.name, lambda: next(outcomes, None))) is not None:
            yield outcome

    def close(self) -> None:
        """Let go of processes and memory."""
        self.registry.shield(ExecutorSpec, self.name, self.executor.close, "the search goes on")


class BlamedAlgorithm(AbstractAlgorithm):
    """The algorithm called ``name``."""

    def __init__(self, name: str, registry: Registry) -> None:
        self.name, self.registry = name, registry
        self.algorithm = registry.blame(SearchSpec, name, registry.get(SearchSpec, name).build)

    def first(self, spaces: Mapping[str, SpaceConfig], number: int, chances: Chances) -> tuple[Member, ...]:
        """The members of the first generation."""
        return self.registry.blame(SearchSpec, self.name, lambda: tuple(self.algorithm.first(spaces, number, chances)))

    def following(self, state: SearchState, scores: Mapping[int, float], chances: Chances, *, compete: bool) -> tuple[Member, ...]:
        """Every member in the next generation."""
        return self.registry.blame(SearchSpec, self.name, lambda: tuple(self.algorithm.following(state, scores, chances, compete=compete)))
