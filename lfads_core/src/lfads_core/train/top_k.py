"""The best epochs of a training, each a checkpoint of its own beside ``best`` and ``last`` when ``train.keep_best`` is above 1.

The checkpoint of epoch 12 is ``epoch-000012``. Which epochs are kept stands in ``last``: those that enter are written before it, those
that leave go after it, so that a training killed at any moment finds all that its ``last`` names. ``kept.json`` says the same for people.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfads_core.files import write_json
from lfads_core.train.checkpoint import (
    Checkpoint,
    epoch_name,
    has_checkpoint,
    kept_checkpoints,
    load_checkpoint,
    remove_checkpoint,
)
from lfads_core.train.schedule import infinite_if_none, none_if_infinite

log = logging.getLogger(__name__)

INDEX = "kept.json"
"""File beside the checkpoints that lists the kept ones with epoch and cost, best first."""


@dataclass
class BestSoFar:
    """The epoch with the least cost; epochs before the ramps have ended do not count, for their cost is not yet the full one."""

    first_epoch: int
    cost: float = math.inf
    epoch: int = -1

    def update(self, epoch: int, cost: float) -> bool:
        """Take one epoch's cost; say whether it is the best."""
        if epoch < self.first_epoch or not cost < self.cost:
            return False
        self.cost, self.epoch = cost, epoch
        return True

    def epochs_without_better(self, epoch: int) -> int:
        """Epochs since the best, or since the ramps ended when there is none."""
        return epoch - (self.epoch if self.epoch >= 0 else self.first_epoch - 1)

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {"cost": none_if_infinite(self.cost), "epoch": self.epoch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.cost, self.epoch = infinite_if_none(state["cost"]), int(state["epoch"])


@dataclass
class TopK:
    """The epochs of least cost, at most ``most``; of equal ones the earlier. One alone is not kept here: it is ``best``."""

    most: int
    costs: dict[int, float] = field(default_factory=dict)  # by epoch, best first

    def update(self, epoch: int, cost: float) -> bool:
        """Take one epoch's cost; say whether it is among the best so far."""
        self._rank({**self.costs, epoch: cost})
        return epoch in self.costs

    def state(self) -> list[list[float]]:
        """Pairs of epoch and cost for a checkpoint."""
        return [[epoch, cost] for epoch, cost in self.costs.items()]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from :meth:`state`, with as many as there may be now."""
        self._rank({int(epoch): float(cost) for epoch, cost in state})

    def _rank(self, costs: dict[int, float]) -> None:
        ranked = sorted(costs.items(), key=lambda pair: (pair[1], pair[0]))
        self.costs = dict(ranked[: self.most]) if self.most > 1 else {}


class TopKCheckpoints:
    """Holds the best epochs of one training until they are on disk, and takes those away that are so no longer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unsaved: dict[int, Checkpoint] = {}
        self._listed: list[list[float]] | None = None  # what the index says, once this process has written it

    def add(self, epoch: int, checkpoint: Checkpoint, best: TopK) -> None:
        """Hold an epoch in memory until :meth:`take`, and no longer those that it has displaced."""
        self.unsaved = {number: held for number, held in {**self.unsaved, epoch: checkpoint}.items() if number in best.costs}

    def take(self) -> dict[int, Checkpoint]:
        """What is not on disk yet, for somebody who puts it there."""
        taken, self.unsaved = self.unsaved, {}
        return taken

    def forget(self, best: TopK) -> None:
        """None of the epochs so far is good any longer; their files go once ``last`` knows."""
        self.unsaved, best.costs = {}, {}

    def finish(self, best: TopK, judge: str) -> None:
        """Write the index, remove checkpoints of epochs that are not among the best; these are on disk already, and ``last`` knows of them.

        Raises:
            RunError: something cannot be written.
        """
        names = {epoch_name(epoch): (epoch, cost) for epoch, cost in best.costs.items()}
        if names and self._listed != best.state():
            rows: list[dict[str, Any]] = [{"checkpoint": name, "epoch": epoch, "cost": cost} for name, (epoch, cost) in names.items()]
            write_json(self.folder / INDEX, {"format": "lfads-kept", "judge": f"valid/{judge}_smooth", "checkpoints": rows})
            self._listed = best.state()
        for name in kept_checkpoints(self.folder):
            if name not in names:
                remove_checkpoint(self.folder, name)
        if not names:
            (self.folder / INDEX).unlink(missing_ok=True)
            self._listed = None

    def take_up(self, folder: Path, best: TopK, record: BestSoFar) -> None:
        """Go on with the epochs that a ``last`` just read from ``folder`` names; a training that kept none has its ``best`` counted in.

        Raises:
            RunError: a checkpoint is damaged.
        """
        self.unsaved = {}
        if gone := [epoch for epoch in best.costs if not has_checkpoint(folder, epoch_name(epoch))]:
            log.info("kept checkpoints of epochs %s are gone from %s: they count no longer", ", ".join(map(str, gone)), folder)
            best.restore([pair for pair in best.state() if pair[0] not in gone])
        if best.most > 1 and not best.costs and record.epoch >= 0 and has_checkpoint(folder, "best"):
            found = load_checkpoint(folder, "best")
            if found.state["epoch"] == record.epoch + 1 and best.update(record.epoch, record.cost):
                self.unsaved[record.epoch] = found
        elif folder != self.folder:
            self.unsaved = {epoch: load_checkpoint(folder, epoch_name(epoch)) for epoch in best.costs}
