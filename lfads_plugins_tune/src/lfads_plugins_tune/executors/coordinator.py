"""The queue behind a coordinator that many processes can call at once: what the driver starts as an actor. Knows nothing of Ray."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lfads_plugins_tune.executors.task_queue import Assignment, Dropped, Reply, Row, TaskQueue
from lfads_plugins_tune.search.executor import Outcome, Task


@dataclass(frozen=True, kw_only=True)
class News:
    """What the driver hears when it asks."""

    coordinator: str  # another one than before: the coordinator has died and begun anew, and knows nothing
    messages: Sequence[Row | Outcome | Dropped]
    silent: Sequence[str]  # trials whose workers hold tasks and have not been heard for long
    greeted: int  # workers that have come up so far
    refusals: Sequence[str]  # why workers that came up cannot work


class Coordinator:
    """One event loop: every call sees the queue whole. Calls that wait do so for a bounded time."""

    def __init__(self, patience: float) -> None:
        self._name, self._patience = uuid.uuid4().hex, patience
        self._queue = TaskQueue()
        self._bell = asyncio.Event()

    async def open(self, tasks: Sequence[Task], most: int) -> tuple[str, int]:
        """Begin a generation; returns the coordinator's name, and where to listen from."""
        number = self._queue.open(tasks, most)
        self._ring()
        return self._name, number

    async def news(self, number: int, wait: float) -> News:
        """What was said after the first ``number`` messages; waits a while for something to be said."""
        await self._until(lambda: bool(self._queue.since(number)), wait)
        return News(
            coordinator=self._name,
            messages=self._queue.since(number),
            silent=self._queue.silent(time.monotonic(), self._patience),
            greeted=self._queue.greeted,
            refusals=list(self._queue.refusals.values()),
        )

    async def stop(self) -> None:
        """See :meth:`TaskQueue.stop`."""
        self._queue.stop()
        self._ring()

    async def close(self) -> None:
        """Tell all workers to end."""
        self._queue.closed = True
        self._ring()

    async def lost(self, trial: str) -> bool:
        """See :meth:`TaskQueue.lost`."""
        found = self._queue.lost(trial)
        self._ring()
        return found

    async def hello(self, worker: str, trial: str) -> None:
        """See :meth:`TaskQueue.hello`."""
        self._queue.hello(worker, trial, time.monotonic())
        self._ring()

    async def refuse(self, trial: str, why: str) -> None:
        """See :meth:`TaskQueue.refuse`."""
        self._queue.refuse(trial, why)
        self._ring()

    async def take(self, worker: str, ask: int, wait: float) -> Assignment | Reply:
        """See :meth:`TaskQueue.take`; waits a while for something to do."""
        answer: Assignment | Reply = Reply.GO_ON

        def taken() -> bool:
            nonlocal answer
            answer = self._queue.take(worker, ask, time.monotonic())
            return answer is not Reply.GO_ON

        await self._until(taken, wait)
        return answer

    async def hear(self, worker: str, lease: int, said: Sequence[Row | Outcome]) -> Reply:
        """See :meth:`TaskQueue.hear`."""
        answer = self._queue.hear(worker, lease, said, time.monotonic())
        if said:
            self._ring()
        return answer

    def _ring(self) -> None:
        """Wake everybody who waits; each looks for itself."""
        self._bell.set()
        self._bell = asyncio.Event()

    async def _until(self, ready: Callable[[], bool], wait: float) -> None:
        end = time.monotonic() + wait
        while not ready() and (left := end - time.monotonic()) > 0:
            bell = self._bell
            try:
                await asyncio.wait_for(bell.wait(), left)
            except TimeoutError:
                return
