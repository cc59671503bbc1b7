"""A worker process: takes assignments of members, trains them, and says what came of it. Knows nothing of Ray."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from lfads_core.errors import LfadsError
from lfads_plugins_tune.executors.task_queue import Assignment, Reply, Row
from lfads_plugins_tune.search.executor import Outcome, Report, Task

log = logging.getLogger(__name__)

PERIOD = 0.5
"""Seconds between two reports of a worker."""

FENCE = 40.0
"""A worker that has had no answer for so many seconds ends itself: its tasks may soon be given to another."""

WAIT = 10.0
"""Seconds that a worker waits for something to do before it asks again."""


@runtime_checkable
class Connection(Protocol):
    """A worker's connection to the coordinator; a call that gets no answer in time raises."""

    def take(self, ask: int, wait: float) -> Assignment | Reply:
        """Ask for something to do; ``ask`` numbers the questions."""
        ...

    def hear(self, lease: int, said: Sequence[Row | Outcome]) -> Reply:
        """Say something, or give a sign of life."""
        ...


@runtime_checkable
class Trains(Protocol):
    """The part of a :class:`~lfads_plugins_tune.search.members.MemberTrainer` that a worker needs."""

    def groups(self, tasks: Sequence[Task], most: int | None = None) -> list[list[Task]]:
        """Tasks that can be trained as one."""
        ...

    def train(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Train them; an outcome for each."""
        ...

    def forget(self) -> None:
        """Hold no member any longer."""
        ...


def end_process() -> None:
    """End at once, whatever other threads are doing."""
    os._exit(1)


class Heartbeat:
    """Carries what a worker says to the coordinator, twice a second from a thread of its own, so that training never waits for it.

    Messages arrive in order. One that may have got lost is said again: the coordinator and the driver can tell.
    """

    def __init__(
        self, connection: Connection, lease: int, *, period: float = PERIOD, fence: float = FENCE, end: Callable[[], None] = end_process
    ) -> None:
        self.reply = Reply.GO_ON
        self._connection, self._lease, self._period, self._fence, self._end = connection, lease, period, fence, end
        self._said: list[Row | Outcome] = []
        self._answered = time.monotonic()
        self._calling = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:  # noqa: PYI034 - Self cannot be checked in tests
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def say(self, message: Row | Outcome) -> None:
        """Take a message; returns at once."""
        self._said.append(message)

    def deliver(self) -> None:
        """Wait until all has been heard."""
        while self._said:
            self._call()
            if self._said:
                time.sleep(self._period)

    def _run(self) -> None:
        while not self._over.wait(self._period):
            self._call()

    def _call(self) -> None:
        with self._calling:
            said = list(self._said)
            try:
                self.reply = self._connection.hear(self._lease, said)
            except Exception as err:  # noqa: BLE001 - whatever the network brings
                if time.monotonic() - self._answered > self._fence:
                    log.warning("no answer for %.0f s (%s): this worker ends", self._fence, err)
                    self._end()
                return
            self._answered = time.monotonic()
            del self._said[: len(said)]
            if self.reply is Reply.GONE:
                self._said.clear()
                self._end()


class Worker:
    """Takes assignments until the search is over."""

    def __init__(self, connection: Connection, trainer: Trains, *, fence: float = FENCE, end: Callable[[], None] = end_process) -> None:
        self._connection, self._trainer, self._fence, self._end = connection, trainer, fence, end
        self._ask = 0

    def work(self) -> bool:
        """Carry out one assignment, or wait for one for a while; False when the search is over."""
        assignment = self._take()
        if assignment is Reply.GONE:
            self._end()
        if not isinstance(assignment, Assignment):
            return assignment is Reply.GO_ON
        with Heartbeat(self._connection, assignment.lease, fence=self._fence, end=self._end) as heartbeat:
            try:
                for outcome in self._outcomes(assignment.tasks, heartbeat):
                    heartbeat.say(outcome)
            finally:
                self._trainer.forget()  # the next generation of these members may be another worker's
            heartbeat.deliver()
        return heartbeat.reply is not Reply.CLOSED

    def _take(self) -> Assignment | Reply:
        asked = time.monotonic()
        while True:
            self._ask += 1
            try:
                return self._connection.take(self._ask, WAIT)
            except Exception as err:  # noqa: BLE001 - whatever the network brings
                if time.monotonic() - asked > self._fence:
                    log.warning("no answer for %.0f s (%s): this worker ends", self._fence, err)
                    return Reply.GONE
                time.sleep(1.0)

    def _outcomes(self, tasks: Sequence[Task], heartbeat: Heartbeat) -> Iterator[Outcome]:
        """An outcome for each task. What a group raises as a whole is put down to single members by training each alone."""

        def report(member: int, epoch: int, row: Mapping[str, float]) -> None:
            heartbeat.say(Row(member=member, epoch=epoch, values=dict(row)))

        def should_stop() -> bool:
            return heartbeat.reply is not Reply.GO_ON

        left = {task.member: task for task in tasks}
        try:
            for outcome in self._train(tasks, report, should_stop):
                del left[outcome.member]
                yield outcome
        except (Exception, SystemExit) as err:  # whatever a plugin raises
            log.debug("members %s failed", list(left), exc_info=True)
            if len(tasks) == 1:
                yield Outcome(member=tasks[0].member, status="failed", score=None, epochs=0, seconds=0.0, error=_sentence(err))
                return
            self._trainer.forget()
            for task in left.values():
                yield from self._outcomes([replace(task, restart=True)], heartbeat)

    def _train(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterable[Outcome]:
        for group in self._trainer.groups(tasks):
            yield from self._trainer.train(group, report, should_stop)


def _sentence(err: BaseException) -> str:
    return str(err) if isinstance(err, LfadsError) else f"{type(err).__name__}: {err}"
