"""Members of a search whose training is arithmetic, so that every decision of a driver can be tried in milliseconds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from lfads_core.config.spaces import SpaceConfig, log, uniform
from lfads_plugins_tune.search.executor import AbstractExecutor, Outcome, Report, Task

SPACES: Mapping[str, SpaceConfig] = {
    "optim.lr": log(1e-4, 1e-2, init=1e-3),
    "model.dropout": uniform(0.0, 0.6),
    "regularisation.kl_ic": log(1e-6, 1e-3, explore=0.8),
}

Fate = Callable[[Task, int], str]
"""How a task ends, given how often it was tried in this process: an outcome's status, ``nan``, ``silent`` or ``raise``."""


def toy_step(weight: float, values: Mapping[str, Any], epoch: int) -> float:
    """One epoch of a toy: any function that depends on everything it should depend on, and falls."""
    text = f"{weight!r}/{sorted(values.items())!r}/{epoch}"
    noise = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    return weight * (1 - 20 * values["optim.lr"]) + 0.01 * noise + values["model.dropout"] * 1e-3


class Toy(AbstractExecutor):
    """Trains toys, hands them back in any order, and lets them die as told; weights are kept on disk as the contract says."""

    name: ClassVar[str] = "toy"

    def __init__(self, *, order: int | None = None, fate: Fate = lambda _task, _tries: "done", ends_at: Mapping[int, int] | None = None) -> None:
        self.order, self.fate, self.ends_at = order, fate, ends_at or {}
        self.forgets = False  # whether an interruption loses what was done in the generation
        self.held: dict[int, dict[str, float]] = {}
        self.tries: dict[tuple[int, int], int] = {}
        self.seen: list[Task] = []
        self.fresh: list[tuple[int, int]] = []  # (member, generation) of those that began from nothing

    def generation(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Carry out one generation."""
        tasks = list(tasks)
        if self.order is not None:
            random.Random(f"{self.order}/{tasks[0].generation}").shuffle(tasks)
        for task in tasks:
            self.seen.append(task)
            tried = self.tries[task.member, task.generation] = self.tries.get((task.member, task.generation), -1) + 1
            fate = self.fate(task, tried)
            if fate != "silent":
                yield self.train(task, fate, report, should_stop)

    def train(self, task: Task, fate: str, report: Report, should_stop: Callable[[], bool]) -> Outcome:
        """One toy."""
        toy = self.load(task)
        for epoch in range(int(toy["epoch"]), min(task.epochs, self.ends_at.get(task.member, task.epochs))):
            if should_stop():
                if self.forgets:
                    return Outcome(member=task.member, status="interrupted", score=None, epochs=0, seconds=0.0, error="not begun")
                self.save(task, toy)
                return Outcome(member=task.member, status="interrupted", score=None, epochs=epoch, seconds=0.0)
            toy = {"epoch": epoch + 1, "weight": toy_step(toy["weight"], task.overrides, epoch)}
            report(task.member, epoch, {"valid/masked_smooth": toy["weight"]})
        if fate == "raise":
            raise KeyboardInterrupt
        if fate in {"failed", "diverged"}:
            self.held.pop(task.member, None)
            return Outcome(member=task.member, status=fate, score=None, epochs=0, seconds=0.0, error=f"toy {task.member} {fate}")
        self.save(task, toy)
        score = float("nan") if fate == "nan" else toy["weight"]
        return Outcome(member=task.member, status="done", score=score, epochs=int(toy["epoch"]), seconds=0.1)

    def load(self, task: Task) -> dict[str, float]:
        """From ``start``, from memory, from ``last``, or anew."""
        fresh = {"epoch": 0, "weight": 1.0 + task.overrides["train.seed"] * 1e-2}
        start, last = (task.path / folder / "last.json" for folder in ("start", "checkpoints"))
        if task.restart and not start.exists():
            self.fresh.append((task.member, task.generation))
        if task.restart:
            return json.loads(start.read_text()) if start.exists() else fresh
        if task.member in self.held:
            return self.held[task.member]
        return json.loads(last.read_text())

    def save(self, task: Task, toy: dict[str, float]) -> None:
        """Keep it in memory and on disk, as a new file."""
        self.held[task.member] = toy
        folder = task.path / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "new").write_text(json.dumps(toy))
        (folder / "new").replace(folder / "last.json")
