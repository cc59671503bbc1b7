"""Members one after another, in this process: the plainest way, and the yardstick of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from lfads_core.config.schema import RunConfig
from lfads_core.plugins.registry import Registry
from lfads_plugins_tune.executors import ExecutorOptions
from lfads_plugins_tune.search.executor import AbstractExecutor, Outcome, Report, Task
from lfads_plugins_tune.search.members import MemberTrainer


class SerialExecutor(AbstractExecutor):
    """Trains each member by itself, in the order of the tasks."""

    name: ClassVar[str] = "serial"

    def __init__(self, base: RunConfig, patterns: Sequence[str], registry: Registry, options: ExecutorOptions) -> None:
        self.trainer = MemberTrainer(base, patterns, registry, score=options.score)

    def generation(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Carry out one generation."""
        for task in tasks:
            yield from self.trainer.train([task], report, should_stop)

    def close(self) -> None:
        """Let go of the members' memory."""
        self.trainer.forget()
