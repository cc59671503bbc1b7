"""Who is trained in one batch, kept through a generation: what is left of one that was cut off must not be set out anew.

A member's numbers are the same in any company and with any number of threads, but to rounding only. So that a generation carried out in
pieces ends with the bits of one that was never interrupted, each member's ``run.json`` says how it was first trained (``trained_with``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from lfads_core.errors import LfadsError, RunError
from lfads_core.runs import Run
from lfads_plugins_tune.search.executor import Outcome, Task

KEY = "trained_with"


@dataclass(frozen=True, kw_only=True)
class _BatchAssignment:
    """How a member was first trained in a generation."""

    generation: int
    members: tuple[int, ...]  # their numbers, its own among them
    threads: int


def settled_parts(tasks: Sequence[Task], parts: Sequence[Sequence[int]], threads: int, most: int | None) -> tuple[list[list[int]], int]:
    """Positions of the tasks that are trained together, and each part's threads: as when their generation began, else as given, which is noted.

    Everybody is noted before anybody is trained: if one of them is not, nothing has been trained in those batches yet. No part has
    more than ``most`` members, whatever it had then.
    """
    noted = [found for task in tasks if (found := _batch_assignment(task)) is not None]
    if len(noted) < len(tasks) or not tasks:
        for part in parts:
            for task in (tasks[i] for i in part):
                company = _BatchAssignment(generation=task.generation, members=tuple(tasks[i].member for i in part), threads=threads)
                Run(task.path).update_state(**{KEY: asdict(company)})
        return [list(part) for part in parts], threads
    groups: dict[_BatchAssignment, list[int]] = {}
    for position, company in enumerate(noted):
        groups.setdefault(company, []).append(position)
    settled = [group[first : first + (most or len(group))] for group in groups.values() for first in range(0, len(group), most or len(group))]
    return settled, noted[0].threads


def by_batch(parts: Sequence[Sequence[int]], outcomes: Iterable[tuple[int, Outcome]]) -> Iterator[Outcome]:
    """Outcomes (with their positions) once everybody of a part has ended; all but the last say that more follow.

    So a journal never has some of a batch ended and others not, who could only be trained again in other company. Where what gives
    the outcomes fails, those that are known come before the error.

    Raises:
        LfadsError: what ``outcomes`` raises.
    """
    number_of = {position: number for number, part in enumerate(parts) for position in part}
    known: dict[int, list[Outcome]] = {}
    try:
        for position, outcome in outcomes:
            number = number_of[position]
            known.setdefault(number, []).append(outcome)
            if len(known[number]) == len(parts[number]):
                yield from _at_once(known.pop(number))
    except LfadsError:
        for rest in known.values():
            yield from _at_once(rest)
        raise


def _at_once(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes[:-1]:
        yield replace(outcome, more=True)
    yield outcomes[-1]


def _batch_assignment(task: Task) -> _BatchAssignment | None:
    """How a member was first trained in this generation; None if it was not yet."""
    try:
        noted = Run(task.path).read_state()[KEY]
        company = _BatchAssignment(generation=noted["generation"], members=tuple(noted["members"]), threads=int(noted["threads"]))
    except (RunError, KeyError, TypeError, ValueError):
        return None
    return company if company.generation == task.generation else None
