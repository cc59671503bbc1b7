"""The driver's end of a search on many processes: a generation from tasks to outcomes. Knows nothing of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from lfads_plugins_tune.executors.coordinator import News
from lfads_plugins_tune.executors.task_queue import Row
from lfads_plugins_tune.search.executor import Outcome, Report, Task

PERIOD = 0.5
"""Longest time, in seconds, until a wish to stop is passed on."""


@runtime_checkable
class Office(Protocol):
    """The driver's line to the desk; what cannot be mended raises a RunError."""

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
    tasks: Sequence[Task], most: int, report: Report, should_stop: Callable[[], bool], line: tuple[Office, Callable[[News], None]]
) -> Iterator[Outcome]:
    """Have all tasks done, at most ``most`` at a time in one worker, and yield an outcome for each but those that a stop came before.

    ``report`` hears each epoch of a member once and in order, also when a member was trained twice because a worker died.
    ``line`` is the office, and what looks after the workers whenever there are news.
    """
    office, look_after = line
    left = {task.member: task for task in tasks}
    epochs: dict[int, int] = {}
    stopped = False
    desk, heard = office.open(tasks, most)
    while left:
        if should_stop() and not stopped:
            stopped = True
            office.stop()
        news = office.news(heard, PERIOD)
        if news.desk != desk:  # it died, and knows nothing of what it was told
            desk, heard = office.open([replace(task, restart=True) for task in left.values()], most)
            stopped = False
            continue
        heard += len(news.words)
        for word in news.words:
            if word.member not in left:
                continue
            if not isinstance(word, Row):
                del left[word.member]
            if isinstance(word, Outcome):
                yield word
            elif isinstance(word, Row) and word.epoch > epochs.get(word.member, -1):
                epochs[word.member] = word.epoch
                report(word.member, word.epoch, word.values)
        look_after(news)
