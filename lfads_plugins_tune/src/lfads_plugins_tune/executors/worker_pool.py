"""The workers of a search on Ray: a coordinator, and jobs that take assignments from it. Ray itself comes with the cluster."""

from __future__ import annotations

import logging
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from lfads_core.errors import LfadsError, RunError
from lfads_plugins_tune.executors.cluster import Cluster
from lfads_plugins_tune.executors.placement import Placement, slots
from lfads_plugins_tune.executors.task_queue import Assignment, News, Reply, Row, TaskQueue
from lfads_plugins_tune.executors.worker import Worker
from lfads_plugins_tune.executors.worker_setup import MARK, member_trainer
from lfads_plugins_tune.jobs.on_ray import RayJob, last_line, load_ray
from lfads_plugins_tune.jobs.running import Jobs
from lfads_plugins_tune.search.executor import Outcome, Task

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""A worker that holds members and has not been heard for so many seconds is killed, and its members are given out again."""

ANSWER = 30.0
"""Seconds that a call to the coordinator may take."""

POLL = 0.1
"""Seconds between two questions to the coordinator when there is nothing new."""

ROOM = 10.0
"""Seconds without room for any worker after which that is said."""

STARVED = 300.0
"""Seconds for which a cluster may be too small for a single worker before the search ends."""

END = 15.0
"""Seconds that workers have for ending by themselves once there is no more work."""

FAILED_STARTS = 3
"""If all workers together die so many times each while they start, and none has come up, none ever will."""


class WorkerPool:
    """A coordinator, and workers that are begun again elsewhere when a process or a node dies: what :func:`carry_out` calls its service."""

    def __init__(self, cluster: Cluster, work: Mapping[str, Any], placement: Placement) -> None:
        self.placement = placement
        self._cluster, self._ray, self._folder, self._work = cluster, cluster.ray, Path(work["folder"]), dict(work)
        shutil.rmtree(self._folder, ignore_errors=True)  # what a driver that was killed has left
        self._folder.mkdir(parents=True)
        (self._folder / MARK).write_text(work["key"], encoding="utf-8")
        self._jobs: Jobs[RayJob] = Jobs(END)
        self._begun = self._greeted = self._failed_starts = 0
        self._killed: set[str] = set()
        self._said: set[str] = set()
        self._over, self._full, self._roomy = False, False, time.monotonic()
        self._fault = "they ended"
        self._fed = time.monotonic()  # when the cluster was last seen to have room for a worker
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        self._name = f"lfads-{work['key']}"
        remote = self._ray.remote(TaskQueue).options(name=self._name, num_cpus=0, max_restarts=-1, scheduling_strategy=here)
        self._coordinator = remote.remote(PATIENCE)
        for _ in range(placement.workers):
            self._begin()

    def open(self, tasks: Sequence[Task], most: int) -> tuple[str, int]:
        """Begin a generation."""
        found: tuple[str, int] = self._ask("open", list(tasks), most)
        return found

    def news(self, number: int, wait: float) -> News:
        """Ask what was said, for ``wait`` seconds if nothing was."""
        end = time.monotonic() + wait
        while True:
            found: News = self._ask("news", number)
            if found.messages or time.monotonic() > end:
                return found
            time.sleep(POLL)

    def stop(self) -> None:
        """Give out nothing more, and have what runs saved."""
        self._ask("stop")

    def look_after(self, news: News) -> None:
        """Kill workers that have fallen silent, and find out whether any will come.

        Raises:
            RunError: none will.
        """
        for worker in news.silent:
            log.warning("a worker has not been heard for %.0f s: it is ended, and its members go to others", PATIENCE)
            self._killed.add(worker)
            self._jobs.running[worker].end()
        if news.greeted > self._greeted:
            self._greeted, self._failed_starts = news.greeted, 0
        self._bury()
        for refusal in news.refusals:
            self._warn(f"a worker takes no part. {refusal}")
        self._say_who_waits()
        where = "on this machine" if self._cluster.local else "on the cluster's nodes"
        if not self._jobs.running:
            raise RunError(f"--executor ray: workers must be able to train {where}, but none is left: {'; '.join(news.refusals) or self._fault}")
        if self._failed_starts >= FAILED_STARTS * self.placement.workers:
            raise RunError(
                f"--executor ray: workers must come up {where}, but {self._failed_starts} in a row died before: {self._fault}. "
                "Every node needs the same Python, Ray and lfads packages as this one."
            )
        if time.monotonic() - self._fed > 5.0 and slots(self._cluster.nodes(), self.placement.cpus, self.placement.gpus):
            self._fed = time.monotonic()
        if time.monotonic() - self._fed > STARVED:
            raise RunError(
                f"--executor ray: the cluster must have a node with {self.placement}, but has had none for {STARVED:.0f} s. "
                "Add one, or ask for less for each worker; then resume the search."
            )

    def close(self) -> None:
        """End the workers."""
        self._over = True
        with suppress(Exception):  # a coordinator or a cluster that is gone has no workers to end
            self._ask("close")
            while self._jobs.running:
                self._jobs.stop()
                self._jobs.ended()
                time.sleep(0.1)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _bury(self) -> None:
        """Others are begun in the place of workers that have died."""
        for worker, job, code in self._jobs.ended():
            if code == 0:
                continue  # it cannot work, and has said so
            if not self._ask("lost", worker) and worker not in self._killed:
                self._failed_starts += 1
                self._fault = job.fault
                self._warn(f"a worker could not start: {job.fault}")
            self._begin()

    def _warn(self, text: str) -> None:
        """Say something once."""
        if text not in self._said:
            log.warning("%s", text)
        self._said.add(text)

    def _say_who_waits(self) -> None:
        """Say once, and again after there was room, that there is none."""
        if not all(job.waits() for job in self._jobs.running.values()):
            self._roomy, self._full = time.monotonic(), False
        elif time.monotonic() - self._roomy > ROOM and not self._full:
            log.warning("no worker has found room on the cluster yet: %d wait for %s each", len(self._jobs.running), self.placement)
            self._full = True

    def _begin(self) -> None:
        """One more worker; it waits for a node with room."""
        self._begun += 1
        name = f"{self._name}-worker-{self._begun}"
        resources = (self.placement.cpus, self.placement.gpus)
        self._jobs.running[name] = RayJob(self._ray, name, work_for, (self._work, self._name, name), resources)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Call the coordinator; while it is being started again, try again."""
        end = time.monotonic() + 2 * ANSWER
        while True:
            try:
                return self._ray.get(getattr(self._coordinator, method).remote(*arguments), timeout=ANSWER)
            except (self._ray.exceptions.RayError, ConnectionError) as err:
                if time.monotonic() > end or self._over:
                    raise RunError(
                        f"--executor ray: the driver must reach the workers' coordinator, got no answer ({last_line(err)}). Resume the search."
                    ) from err
            time.sleep(1.0)


def work_for(work: Mapping[str, Any], called: str, name: str) -> None:
    """Be a worker of the coordinator that is called so, in a process that Ray has started."""
    ray = load_ray()
    coordinator = ray.get_actor(called)
    with ExitStack() as open_until_the_end:
        try:
            trainer = open_until_the_end.enter_context(member_trainer(work))
        except LfadsError as err:
            here, why = platform.node(), str(err)
            ray.get(coordinator.refuse.remote(name, why if why.startswith(f"{here}: ") else f"{here}: {why}"), timeout=ANSWER)
            return
        ray.get(coordinator.hello.remote(name), timeout=ANSWER)
        worker = Worker(_RayConnection(ray.get, coordinator, name), trainer)
        while worker.work():
            pass


class _RayConnection:
    """A worker's connection to the coordinator."""

    def __init__(self, get: Callable[..., Any], coordinator: Any, name: str) -> None:
        self._get, self._coordinator, self._name = get, coordinator, name

    def take(self, ask: int, wait: float) -> Assignment | Reply:
        end = time.monotonic() + wait
        while True:
            answer: Assignment | Reply = self._get(self._coordinator.take.remote(self._name, ask), timeout=ANSWER)
            if answer is not Reply.GO_ON or time.monotonic() > end:
                return answer
            time.sleep(POLL)

    def hear(self, lease: int, said: Sequence[Row | Outcome]) -> Reply:
        answer: Reply = self._get(self._coordinator.hear.remote(self._name, lease, said), timeout=ANSWER)
        return answer
