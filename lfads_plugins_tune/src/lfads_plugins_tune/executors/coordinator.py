"""The ledger behind a desk that many processes can call at once: what the driver starts as an actor. Knows nothing of Ray."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lfads_plugins_tune.executors.task_queue import Dropped, Ledger, Row, Share, Word
from lfads_plugins_tune.search.executor import Outcome, Task


@dataclass(frozen=True, kw_only=True)
class News:
    """What the driver hears when it asks."""

    desk: str  # another one than before: the desk has died and begun anew, and knows nothing
    words: Sequence[Row | Outcome | Dropped]
    silent: Sequence[str]  # trials whose workers hold tasks and have not been heard for long
    greeted: int  # workers that have come up so far
    refusals: Sequence[str]  # why workers that came up cannot work


class Desk:
    """One event loop: every call sees the ledger whole. Calls that wait do so for a bounded time."""

    def __init__(self, patience: float) -> None:
        self._name, self._patience = uuid.uuid4().hex, patience
        self._ledger = Ledger()
        self._bell = asyncio.Event()

    async def open(self, tasks: Sequence[Task], most: int) -> tuple[str, int]:
        """Begin a generation; returns the desk's name, and where to listen from."""
        number = self._ledger.open(tasks, most)
        self._ring()
        return self._name, number

    async def news(self, number: int, wait: float) -> News:
        """What was said after the first ``number`` words; waits a while for something to be said."""
        await self._until(lambda: bool(self._ledger.since(number)), wait)
        return News(
            desk=self._name,
            words=self._ledger.since(number),
            silent=self._ledger.silent(time.monotonic(), self._patience),
            greeted=self._ledger.greeted,
            refusals=list(self._ledger.refusals.values()),
        )

    async def stop(self) -> None:
        """See :meth:`Ledger.stop`."""
        self._ledger.stop()
        self._ring()

    async def close(self) -> None:
        """Tell all workers to end."""
        self._ledger.closed = True
        self._ring()

    async def lost(self, trial: str) -> bool:
        """See :meth:`Ledger.lost`."""
        found = self._ledger.lost(trial)
        self._ring()
        return found

    async def hello(self, worker: str, trial: str) -> None:
        """See :meth:`Ledger.hello`."""
        self._ledger.hello(worker, trial, time.monotonic())
        self._ring()

    async def refuse(self, trial: str, why: str) -> None:
        """See :meth:`Ledger.refuse`."""
        self._ledger.refuse(trial, why)
        self._ring()

    async def take(self, worker: str, ask: int, wait: float) -> Share | Word:
        """See :meth:`Ledger.take`; waits a while for something to do."""
        answer: Share | Word = Word.GO_ON

        def taken() -> bool:
            nonlocal answer
            answer = self._ledger.take(worker, ask, time.monotonic())
            return answer is not Word.GO_ON

        await self._until(taken, wait)
        return answer

    async def hear(self, worker: str, lease: int, said: Sequence[Row | Outcome]) -> Word:
        """See :meth:`Ledger.hear`."""
        answer = self._ledger.hear(worker, lease, said, time.monotonic())
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
