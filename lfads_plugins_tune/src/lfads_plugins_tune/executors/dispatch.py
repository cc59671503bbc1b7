"""The driver's end of a search on many processes: a generation from tasks to outcomes. Knows nothing of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from lfads_plugins_tune.executors.task_queue import News, Row
from lfads_plugins_tune.search.executor import Outcome, Report, Task

PERIOD = 0.5
"""Longest time, in seconds, until a wish to stop is passed on."""


@runtime_checkable
class TaskService(Protocol):
    """The driver's connection to the coordinator; what cannot be mended raises a RunError."""

    def open(self, tasks: Sequence[Task], most: int) -> tuple[str, int]:
        """Begin a generation."""
        ...

    def news(self, number: int, wait: float) -> News:
        """Ask what was said."""
        ...

    def stop(self) -> None:
        """Give out nothing more, and have what runs saved."""
        ...


def carry_out(
    tasks: Sequence[Task], most: int, report: Report, should_stop: Callable[[], bool], workers: tuple[TaskService, Callable[[News], None]]
) -> Iterator[Outcome]:
    """Have all tasks done, at most ``most`` at a time in one worker, and yield an outcome for each but those that a stop came before.

    ``report`` hears each epoch of a member once and in order, also when a member was trained twice because a worker died.
    ``workers`` is the service, and what looks after the workers whenever there are news.
    """
    service, look_after = workers
    left = {task.member: task for task in tasks}
    epochs: dict[int, int] = {}
    stopped = False
    coordinator, heard = service.open(tasks, most)
    while left:
        if should_stop() and not stopped:
            stopped = True
            service.stop()
        news = service.news(heard, PERIOD)
        if news.coordinator != coordinator:  # it died, and knows nothing of what it was told
            coordinator, heard = service.open([replace(task, restart=True) for task in left.values()], most)
            stopped = False
            continue
        heard += len(news.messages)
        for message in news.messages:
            if message.member not in left:
                continue
            if not isinstance(message, Row):
                del left[message.member]
            if isinstance(message, Outcome):
                yield message
            elif isinstance(message, Row) and message.epoch > epochs.get(message.member, -1):
                epochs[message.member] = message.epoch
                report(message.member, message.epoch, message.values)
        look_after(news)
