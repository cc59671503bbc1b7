"""Who is trained in one batch, kept through a generation: what is left of one that was cut off must not be set out anew.

A member's numbers are the same in any company, but to rounding only. So that a generation carried out in pieces ends with the bits of one
that was never interrupted, each member's ``run.json`` says with whom it was first put into one batch (``trained_with``).
"""

from __future__ import annotations

from collections.abc import Sequence

from lfads_core.errors import RunError
from lfads_core.runs import Run
from lfads_core.search.executor import Task

KEY = "trained_with"


def settled_parts(tasks: Sequence[Task], parts: Sequence[Sequence[int]], most: int | None) -> list[list[int]]:
    """Positions of the tasks that are trained together: as when their generation began, else as ``parts`` has them, which is noted.

    Everybody is noted before anybody is trained: if one of them is not, nothing has been trained in those batches yet. No part has
    more than ``most`` members, whatever it had then.
    """
    noted = [_company(task) for task in tasks]
    if any(company is None for company in noted):
        for part in parts:
            for position in part:
                members = [tasks[i].member for i in part]
                Run(tasks[position].path).update_state(**{KEY: {"generation": tasks[position].generation, "members": members}})
        return [list(part) for part in parts]
    groups: dict[tuple[int, ...] | None, list[int]] = {}
    for position, company in enumerate(noted):
        groups.setdefault(company, []).append(position)
    return [group[first : first + (most or len(group))] for group in groups.values() for first in range(0, len(group), most or len(group))]


def _company(task: Task) -> tuple[int, ...] | None:
    """Numbers of the members that this one was put together with in this generation; None if it was not yet."""
    try:
        noted = Run(task.path).read_state()[KEY]
        return tuple(int(number) for number in noted["members"]) if noted["generation"] == task.generation else None
    except (RunError, KeyError, TypeError, ValueError):
        return None
