"""The workers of a search: a coordinator, and a run of Ray Tune whose trials are workers. Ray itself comes with the cluster."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lfads_core.errors import LfadsError, RunError
from lfads_plugins_tune.executors.cluster import Cluster, last_line
from lfads_plugins_tune.executors.coordinator import Coordinator, News
from lfads_plugins_tune.executors.placement import Placement, slots
from lfads_plugins_tune.executors.task_queue import Assignment, Reply, Row
from lfads_plugins_tune.executors.worker import Worker
from lfads_plugins_tune.executors.worker_setup import MARK, open_member_trainer
from lfads_plugins_tune.search.executor import Outcome, Task

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""A worker that holds members and has not been heard for so many seconds is killed, and its members are given out again."""

ANSWER = 30.0
"""Seconds that a call to the coordinator may take."""

STARVED = 300.0
"""Seconds for which a cluster may be too small for a single worker before the search ends."""

FAILED_STARTS = 3
"""If all workers together die so many times each while they start, and none has come up, none ever will."""


class WorkerPool:
    """A coordinator, and a run of Ray Tune whose trials are workers: what :func:`carry_out` calls its service."""

    def __init__(self, cluster: Cluster, work: Mapping[str, Any], placement: Placement) -> None:
        self.placement = placement
        self._cluster, self._ray, self._folder = cluster, cluster.ray, Path(work["folder"])
        shutil.rmtree(self._folder, ignore_errors=True)  # what a driver that was killed has left
        self._folder.mkdir(parents=True)
        (self._folder / MARK).write_text(work["key"], encoding="utf-8")
        self.trials: Sequence[Any] = ()
        self._greeted = self._failed_starts = 0
        self._killed: set[str] = set()
        self._fault = "they ended"
        self._stopper = _stopper(self._ray.tune)
        self._fed = time.monotonic()  # when the cluster was last seen to have room for a worker
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        name = f"lfads-{work['key']}"
        self._coordinator = self._ray.remote(Coordinator).options(name=name, num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote(PATIENCE)
        self._tune = threading.Thread(target=self._run_tune, args=({"work": dict(work), "coordinator": name},), name="ray-tune", daemon=True)
        self._tune.start()

    def open(self, tasks: Sequence[Task], most: int) -> tuple[str, int]:
        """Begin a generation."""
        found: tuple[str, int] = self._ask("open", list(tasks), most)
        return found

    def news(self, number: int, wait: float) -> News:
        """Ask what was said."""
        found: News = self._ask("news", number, wait)
        return found

    def stop(self) -> None:
        """Give out nothing more, and have what runs saved."""
        self._ask("stop")

    def look_after(self, news: News) -> None:
        """Kill workers that have fallen silent, and find out whether any will come.

        Raises:
            RunError: none will.
        """
        for trial in news.silent:
            log.warning("a worker has not been heard for %.0f s: it is ended, and its members go to others", PATIENCE)
            self._killed.add(trial)
            self._kill(trial)
            self._ask("lost", trial)
        if news.greeted > self._greeted:
            self._greeted, self._failed_starts = news.greeted, 0
        where = "on this machine" if self._cluster.local else "on the cluster's nodes"
        if not self._tune.is_alive():
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
        """End the workers and leave the cluster."""
        self._stopper.over = True
        with suppress(Exception):  # a coordinator or a cluster that is gone has no workers to end
            self._ask("close")
        self._tune.join(15.0)
        for trial in list(self.trials):
            self._kill(trial.trial_id)
        self._cluster.leave()
        self._tune.join(5.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Call the coordinator; while it is being started again, try again."""
        end = time.monotonic() + 2 * ANSWER
        while True:
            try:
                return self._ray.get(getattr(self._coordinator, method).remote(*arguments), timeout=ANSWER)
            except (self._ray.exceptions.RayError, ConnectionError) as err:
                if time.monotonic() > end or self._stopper.over:
                    raise RunError(
                        f"--executor ray: the driver must reach the workers' coordinator, got no answer ({last_line(err)}). Resume the search."
                    ) from err
            time.sleep(1.0)

    def _kill(self, trial: str) -> None:
        for known in list(self.trials):
            actor = known.temporary_state.ray_actor
            if known.trial_id == trial and actor is not None:
                with suppress(Exception):  # it may be dead already, or never have lived
                    self._ray.kill(actor)

    def died(self, trial: Any) -> None:
        """A worker is dead; called in Tune's thread, before another one can be started."""
        if self._stopper.over:
            return
        with suppress(RunError):  # the main thread notices too
            came_up = self._ask("lost", trial.trial_id) or trial.trial_id in self._killed
            self._killed.discard(trial.trial_id)
            if not came_up:
                self._failed_starts += 1
                self._fault = last_line(trial.get_pickled_error() or "the process died")

    def _run_tune(self, config: Mapping[str, Any]) -> None:
        try:
            tune = self._ray.tune
            tune.run(
                _trainable(self._ray),
                name="tune",
                config=dict(config),
                num_samples=self.placement.workers,
                resources_per_trial={"cpu": self.placement.cpus, "gpu": self.placement.gpus},
                storage_path=str(self._folder),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                max_failures=-1,
                raise_on_failed_trial=False,
                callbacks=[_listener(tune, self)],
                stop=self._stopper,
                verbose=0,
            )
        except Exception as err:  # noqa: BLE001 - told by the main thread, which waits for workers
            self._fault = last_line(err)


def _listener(tune: Any, pool: WorkerPool) -> Any:
    """What tells us of workers' deaths."""

    class Listener(tune.Callback):  # type: ignore[misc]
        def on_trial_start(self, trials: Sequence[Any], **_: Any) -> None:
            pool.trials = trials

        def on_trial_recover(self, trial: Any, **_: Any) -> None:
            pool.died(trial)

        def on_trial_error(self, trial: Any, **_: Any) -> None:
            pool.died(trial)

    return Listener()


def _stopper(tune: Any) -> Any:
    """What tells Tune of the end. Tune writes it to disk with its own state: it must hold nothing but plain data."""

    class Stopper(tune.Stopper):  # type: ignore[misc]
        over = False

        def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return self.over

    return Stopper()


def _trainable(ray: Any) -> type:
    """The class of workers. Ray sends it to the nodes as it is made here."""

    class WorkerTrial(ray.tune.Trainable):  # type: ignore[misc]
        def setup(self, config: Mapping[str, Any]) -> None:
            coordinator, name = ray.get_actor(config["coordinator"]), uuid.uuid4().hex
            self.worker: Worker | None = None
            try:
                trainer = open_member_trainer(config["work"])
            except LfadsError as err:
                ray.get(coordinator.refuse.remote(self.trial_id, str(err)), timeout=ANSWER)
                return
            ray.get(coordinator.hello.remote(name, self.trial_id), timeout=ANSWER)
            self.worker = Worker(_RayConnection(ray.get, coordinator, name), trainer)

        def step(self) -> dict[str, Any]:
            return {"done": self.worker is None or not self.worker.work()}

    return WorkerTrial


class _RayConnection:
    """A worker's connection to the coordinator."""

    def __init__(self, get: Callable[..., Any], coordinator: Any, name: str) -> None:
        self._get, self._coordinator, self._name = get, coordinator, name

    def take(self, ask: int, wait: float) -> Assignment | Reply:
        answer: Assignment | Reply = self._get(self._coordinator.take.remote(self._name, ask, wait), timeout=wait + ANSWER)
        return answer

    def hear(self, lease: int, said: Sequence[Row | Outcome]) -> Reply:
        answer: Reply = self._get(self._coordinator.hear.remote(self._name, lease, said), timeout=ANSWER)
        return answer
