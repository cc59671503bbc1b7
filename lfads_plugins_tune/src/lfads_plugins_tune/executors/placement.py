"""How many workers, with what, and how many members each: arithmetic on the resources that a cluster reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Workers, and what each has."""

    workers: int
    members: int  # at most so many at a time in one worker
    cpus: float
    gpus: float

    def __str__(self) -> str:
        """Read ``1 CPU and 0.5 GPU``."""
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


def slots(nodes: Sequence[Mapping[str, float]], cpus: float, gpus: float) -> int:
    """Workers of this size that fit on the nodes, by the resources of each: fractions of one node cannot be added to another's."""
    return sum(min(_times(node.get("CPU", 0.0), cpus), _times(node.get("GPU", 0.0), gpus)) for node in nodes)


def place(nodes: Sequence[Mapping[str, float]], tasks: int, wanted: tuple[int | None, int | None], cpus: float, gpus: float | None) -> Placement:
    """Fill in what was left open: a GPU for each worker where there are GPUs, and members dealt out evenly.

    ``wanted`` are the most workers, and the most members in each. There are as many workers as shares, or as were wanted. Those that find no room
    wait, and the others do their work.
    """
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0.0) >= 1 for node in nodes) else 0.0
    most, members = wanted
    fitting = max(slots(nodes, cpus, gpus), 1)
    members = math.ceil(tasks / min(fitting, most or fitting)) if members is None else members
    workers = math.ceil(tasks / members)
    return Placement(workers=min(workers, most or workers), members=members, cpus=cpus, gpus=gpus)


def _times(there: float, each: float) -> int:
    return math.floor(there / each + 1e-9) if each > 0 else 2**31
