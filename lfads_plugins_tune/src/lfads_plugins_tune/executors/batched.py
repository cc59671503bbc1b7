"""All members in one process and on one device, trained as one batched model; on a CPU in parts that its cores train side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from lfads_core.config.schema import RunConfig
from lfads_core.plugins.registry import Registry
from lfads_core.train.device import cores
from lfads_plugins_tune.executors import ExecutorOptions
from lfads_plugins_tune.search.executor import AbstractExecutor, Outcome, Report, Task
from lfads_plugins_tune.search.members import MemberTrainer


class BatchedExecutor(AbstractExecutor):
    """Groups members by what a batch must share (sizes of the network, batches of data) and trains each group in step."""

    name: ClassVar[str] = "batched"

    def __init__(self, base: RunConfig, patterns: Sequence[str | Path], registry: Registry, options: ExecutorOptions) -> None:
        workers = options.workers or max(1, cores() // (base.train.threads or 1))
        self.trainer, self.most = MemberTrainer(base, patterns, registry, score=options.score, workers=workers), options.members_per_worker

    def generation(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Carry out one generation; members stay in memory for the next."""
        for group in self.trainer.groups(tasks):
            yield from self.trainer.train(group, report, should_stop, self.most)

    def close(self) -> None:
        """Let go of the members."""
        self.trainer.forget()
