"""Who works on which member: the book that a search on many processes is kept by. Plain Python, without threads or Ray, which runs it as an actor.

Workers come and go. Each takes an *assignment* of the tasks under a *lease*, a number that is never used again: what comes under a
lease that was ended, from a process that was given up for dead, is refused. The tasks of a worker that is lost are given out
again, to be replayed from the start of the generation.
"""

from __future__ import annotations

import enum
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lfads_plugins_tune.search.executor import Outcome, Task

TOGETHER = 2
"""After so many deaths of workers under a member in one generation, it is given out alone: one member must not take others along."""

ALONE = 3
"""After so many deaths of workers under a member that they had alone, it has failed."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One epoch of one member."""

    member: int
    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A stop came before this member's task was begun, or before it was saved: it stays as it was."""

    member: int


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a worker is to do."""

    lease: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True)
class News:
    """What the driver hears when it asks."""

    coordinator: str  # another one than before: the coordinator has died and begun anew, and knows nothing
    messages: Sequence[Row | Outcome | Dropped]
    silent: Sequence[str]  # workers that hold tasks and have not been heard for long
    greeted: int  # workers that have come up so far
    refusals: Sequence[str]  # why workers that came up cannot work


class Reply(enum.Enum):
    """What a worker hears when it reports."""

    GO_ON = "go on"
    STOP = "stop"  # save, say "interrupted", take nothing new
    GONE = "gone"  # the lease was ended: drop everything, write nothing
    CLOSED = "closed"  # the search is over: end the process


@dataclass
class _Item:
    """A task that has no outcome yet."""

    task: Task
    deaths: int = 0
    deaths_alone: int = 0

    @property
    def alone(self) -> bool:
        return self.deaths >= TOGETHER


@dataclass
class _Lease:
    worker: str
    members: set[int]


@dataclass
class _Worker:
    heard: float
    asked: int = 0  # its latest question for an assignment
    lease: int | None = None
    done: int | None = None  # the lease it has carried out last


class TaskQueue:
    """The tasks of a generation, the workers, and what they said that the driver has not yet heard.

    A worker is silent that holds tasks and has not been heard for ``patience`` seconds, on a clock that never goes back.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.stopping = self.closed = False
        self._name, self._patience, self._clock = uuid.uuid4().hex, patience, clock
        self._greeted = 0
        self._refusals: dict[str, str] = {}  # by worker: why it cannot work
        self._most = 1
        self._waiting: deque[_Item] = deque()
        self._out: dict[int, _Item] = {}
        self._leases: dict[int, _Lease] = {}
        self._workers: dict[str, _Worker] = {}
        self._last_lease = 0
        self._events: list[Row | Outcome | Dropped] = []
        self._forgotten = 0

    # the driver's side

    def open(self, tasks: Sequence[Task], most: int) -> tuple[str, int]:
        """Begin a generation: tasks for workers to take, at most ``most`` at a time. What is left of an earlier one is dropped.

        Returns the coordinator's name, and the number of messages so far, for :meth:`news`.
        """
        for lease in list(self._leases):
            self._end(lease)
        self._most = most
        self._waiting = deque(_Item(task) for task in tasks)
        self._out.clear()
        self.stopping = False
        return self._name, self._forget(len(self._events))

    def news(self, number: int) -> News:
        """What was said after the first ``number`` messages; those are forgotten, for the driver has them."""
        self._forget(number - self._forgotten)
        now = self._clock()
        return News(
            coordinator=self._name,
            messages=list(self._events),
            silent=[name for name, worker in self._workers.items() if worker.lease is not None and now - worker.heard > self._patience],
            greeted=self._greeted,
            refusals=list(self._refusals.values()),
        )

    def stop(self) -> None:
        """Give out nothing more in this generation, and tell the workers to save and stop."""
        self.stopping = True
        while self._waiting:
            self._events.append(Dropped(member=self._waiting.popleft().task.member))

    def close(self) -> None:
        """The search is over: tell all workers to end."""
        self.closed = True

    def lost(self, worker: str) -> bool:
        """This worker is dead: whatever it held is given out again. False if it had not come up."""
        if worker not in self._workers:
            return False
        if (lease := self._workers[worker].lease) is not None:
            self._died(lease)
        del self._workers[worker]
        return True

    # the workers' side

    def hello(self, worker: str) -> None:
        """A worker has come up, under a name that no other had."""
        self._workers[worker] = _Worker(self._clock())
        self._greeted += 1

    def refuse(self, worker: str, why: str) -> None:
        """A worker has come up and cannot work, say because it does not see the data."""
        self._refusals[worker] = why

    def take(self, worker: str, ask: int) -> Assignment | Reply:
        """An assignment of what waits; ``GO_ON`` if there is nothing now, ``GONE`` if the worker was given up for dead.

        ``ask`` numbers a worker's questions. Who asks again holds nothing: an answer that got lost is taken back; and a question
        that was overtaken by a later one gets no assignment.
        """
        asking = self._workers.get(worker)
        if self.closed:
            return Reply.CLOSED
        if asking is None:
            return Reply.GONE
        if ask < asking.asked:
            return Reply.GO_ON
        asking.heard = self._clock()
        if ask > asking.asked and asking.lease is not None:
            self._take_back(asking.lease)
        asking.asked = ask
        if not self._waiting or asking.lease is not None:
            return Reply.GO_ON
        items = [self._waiting.popleft()]
        while not items[0].alone and len(items) < self._most and self._waiting and not self._waiting[0].alone:
            items.append(self._waiting.popleft())
        self._last_lease += 1
        self._leases[self._last_lease] = _Lease(worker, {item.task.member for item in items})
        asking.lease = self._last_lease
        self._out |= {item.task.member: item for item in items}
        return Assignment(lease=self._last_lease, tasks=tuple(item.task for item in items))

    def hear(self, worker: str, lease: int, said: Sequence[Row | Outcome]) -> Reply:
        """Take what a worker says under its lease; saying nothing is a sign of life."""
        saying = self._workers.get(worker)
        if saying is None or lease not in {saying.lease, saying.done}:
            return Reply.GONE
        saying.heard = self._clock()
        if lease == saying.lease:
            members = self._leases[lease].members
            for message in said:
                if message.member in members:
                    self._events.append(message)
                    if isinstance(message, Outcome):
                        members.discard(message.member)
                        del self._out[message.member]
            if not members:
                self._end(lease)
                saying.done = lease
        return Reply.CLOSED if self.closed else Reply.STOP if self.stopping else Reply.GO_ON

    # both

    def _forget(self, messages: int) -> int:
        del self._events[:messages]
        self._forgotten += messages
        return self._forgotten

    def _end(self, lease: int) -> set[int]:
        held = self._leases.pop(lease)
        self._workers[held.worker].lease = None
        return held.members

    def _take_back(self, lease: int) -> None:
        for member in sorted(self._end(lease), reverse=True):
            self._again(self._out.pop(member))

    def _died(self, lease: int) -> None:
        members = self._end(lease)
        for member in sorted(members, reverse=True):
            item = self._out.pop(member)
            item.deaths += 1
            item.deaths_alone += len(members) == 1
            if item.deaths_alone >= ALONE:
                self._events.append(_killed(item))
            else:
                self._again(item)

    def _again(self, item: _Item) -> None:
        if self.stopping:
            self._events.append(Dropped(member=item.task.member))
        else:
            item.task = replace(item.task, restart=True)
            self._waiting.appendleft(item)


def _killed(item: _Item) -> Outcome:
    error = (
        f"{item.task.path}: a worker must live until the member's generation is done, but {item.deaths} of them died under it, "
        f"{item.deaths_alone} with nothing else to do. Look for a lack of memory on the nodes, or train this member alone."
    )
    return Outcome(member=item.task.member, status="failed", score=None, epochs=0, seconds=0.0, error=error)
