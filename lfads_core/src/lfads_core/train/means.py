"""Averages of an epoch's costs over trials, kept on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lfads_core.components.batch import Batch
from lfads_core.objective.total import Losses


class WeightedMeans:
    """Sums of values weighted by trials. Sessions are averaged first over their trials, then, unweighted, with one another."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}

    def add(self, name: str, value: Tensor, weight: float) -> None:
        """Take one batch's value."""
        value = value.detach().double() if value.device.type != "mps" else value.detach()
        self.sums[name] = value * weight + self.sums.get(name, 0.0)
        self.weights[name] = self.weights.get(name, 0.0) + weight

    def add_losses(self, losses: Losses, batches: Mapping[str, Batch]) -> None:
        """Take all terms of one batch."""
        trials = {name: batch.trials.shape[0] for name, batch in batches.items()}
        for name, value in losses.per_session.items():
            self.add(f"recon/{name}", value, trials[name])
        for name, value in (*losses.terms().items(), *losses.measures.items()):
            self.add(name, value, sum(trials.values()))

    def averages(self) -> dict[str, float]:
        """Means as plain numbers; ``recon`` is the mean over sessions, which are listed only when there are several."""
        found = {name: float(value) / self.weights[name] for name, value in self.sums.items()}
        sessions = {name: found.pop(name) for name in list(found) if name.startswith("recon/")}
        if sessions:
            found["recon"] = sum(sessions.values()) / len(sessions)
        return {**found, **(sessions if len(sessions) > 1 else {})}

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint in the middle of an epoch."""
        return {"sums": {name: float(value) for name, value in self.sums.items()}, "weights": dict(self.weights)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.sums = {name: torch.tensor(value, dtype=torch.float64) for name, value in state["sums"].items()}
        self.weights = dict(state["weights"])
