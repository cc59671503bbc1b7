"""What is at work, wherever it runs: who has ended, and the one way in which all are ended."""

from __future__ import annotations

import time
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Job(Protocol):
    """One process at work."""

    def code(self) -> int | None:
        """How it ended, 0 if well or if nobody knows; None as long as it is at work."""
        ...

    def ask(self) -> None:
        """Tell it to save and end."""
        ...

    def end(self) -> None:
        """End it at once, with all that it has started."""
        ...


J = TypeVar("J", bound=Job)


class Jobs(Generic[J]):
    """Jobs by name. Those that shall end are asked to first, and are ended when they take longer than ``grace`` seconds."""

    def __init__(self, grace: float) -> None:
        self.running: dict[str, J] = {}
        self._grace = grace
        self._end: float | None = None
        self._asked: set[str] = set()

    def ended(self) -> list[tuple[str, J, int]]:
        """Jobs that have ended since this was last asked, and how; they are let go of."""
        found = [(name, job, code) for name, job in self.running.items() if (code := job.code()) is not None]
        for name, *_ in found:
            del self.running[name]
        return found

    def stop(self, *, now: bool = False) -> None:
        """Go on with ending them all, those that have come meanwhile too; to be called until none is left."""
        self._end = self._end or time.monotonic() + self._grace
        for name, job in self.running.items():
            if now or time.monotonic() > self._end:
                job.end()
            elif name not in self._asked:
                self._asked.add(name)
                job.ask()
