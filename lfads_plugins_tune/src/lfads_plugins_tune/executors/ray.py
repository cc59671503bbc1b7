"""Members on a Ray cluster, or on all cores of this machine: the executor ``ray``.

Ray places the workers, with fractions of CPUs and GPUs, and says when a process or a node dies; another worker is begun then. A worker
pulls assignments of members from a coordinator (an actor beside the driver) until the search is over. What is trained is decided in
the driver, as without Ray; Ray Tune's schedulers and searchers have no part in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from lfads_core.config.schema import RunConfig
from lfads_core.data.read import name_files, readers_of
from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_plugins_tune.executors import ExecutorOptions
from lfads_plugins_tune.executors.cluster import Cluster
from lfads_plugins_tune.executors.dispatch import carry_out
from lfads_plugins_tune.executors.placement import Placement, place, slots
from lfads_plugins_tune.executors.storage import Storage
from lfads_plugins_tune.executors.stored import Sender
from lfads_plugins_tune.executors.worker_pool import WorkerPool
from lfads_plugins_tune.executors.worker_setup import MARK, describe_work
from lfads_plugins_tune.jobs.on_ray import load_ray
from lfads_plugins_tune.search.executor import AbstractExecutor, Outcome, Report, Task


class RayExecutor(AbstractExecutor):
    """Spreads members over workers; these start with the first generation and end with :meth:`close`. A cluster that is not there is told at once."""

    name: ClassVar[str] = "ray"

    def __init__(self, base: RunConfig, patterns: Sequence[str | Path], registry: Registry, options: ExecutorOptions) -> None:
        ray = load_ray()
        self._base, self._patterns, self._registry, self._options = base, patterns, registry, options
        self._pool: WorkerPool | None = None
        self._key = uuid.uuid4().hex
        self._sender = None if options.storage is None else Sender(Storage(options.storage, self._key))
        self._cluster: Cluster | None = Cluster(ray, options.address)
        try:
            self._placement(self._cluster, 1)
            if self._sender is not None:
                self._sender.storage.open()
        except BaseException:
            self.close()
            raise

    def generation(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """See :class:`AbstractExecutor`.

        Raises:
            RunError: no worker can be had, or none can work.
        """
        if self._pool is None and self._cluster is not None and tasks:
            search = tasks[0].path.resolve().parent.parent
            work = describe_work(search / "ray", self._base, self._patterns, self._options.score, self._key)
            if self._sender is not None:
                self._clear_after_the_killed(search / "ray" / MARK)
                recordings = list(name_files(self._patterns, readers_of(self._registry)).values())
                work["storage"] = {"url": self._options.storage, **self._sender.everything(search, recordings)}
            self._pool = WorkerPool(self._cluster, work, self._placement(self._cluster, len(tasks)))
        tasks = [replace(task, path=task.path.resolve()) for task in tasks]  # workers are at home elsewhere
        if self._pool is None:
            return
        most, workers = self._pool.placement.members, (self._pool, self._pool.look_after)
        if self._sender is None:
            yield from carry_out(tasks, most, report, should_stop, workers)
            return
        folders = {task.member: task.path for task in tasks}
        for outcome in carry_out([self._sender.sent(task) for task in tasks], most, report, should_stop, workers):
            yield self._sender.received(outcome, folders[outcome.member])
        self._sender.sweep()

    def close(self) -> None:
        """End the workers, and the cluster if it was started here; empty the storage."""
        (pool, self._pool), (cluster, self._cluster), (sender, self._sender) = (self._pool, None), (self._cluster, None), (self._sender, None)
        if pool is not None:
            pool.close()
        if cluster is not None:
            cluster.leave()
        if sender is not None:
            sender.storage.clear()

    def _clear_after_the_killed(self, mark: Path) -> None:
        """A driver that was killed has left its mark here, and what it sent in the storage."""
        if self._options.storage is not None and mark.is_file():
            Storage(self._options.storage, mark.read_text(encoding="utf-8")).clear()

    def _placement(self, cluster: Cluster, tasks: int) -> Placement:
        options, train, nodes = self._options, self._base.train, cluster.nodes()
        cpus = float(train.threads or 1) if options.cpus_per_worker is None else options.cpus_per_worker
        gpus = 0.0 if options.gpus_per_worker is None and train.device == "cpu" else options.gpus_per_worker
        found = place(nodes, tasks, (options.workers, options.members_per_worker), cpus, gpus)
        fitting = slots(nodes, found.cpus, found.gpus)
        if not cluster.local:
            return found  # nodes may come
        if fitting == 0:
            raise ConfigError(
                f"--executor ray: a worker must fit on this machine, got {found} for each. Ask for less, or name a cluster with --address."
            )
        return replace(found, workers=min(found.workers, fitting))
