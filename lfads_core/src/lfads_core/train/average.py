"""The average of a model's weights over its last steps, which is what validation judges and rates are inferred with."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class AveragedModel:
    """A copy of a model whose trained weights follow it.

    After step k, with ``d = min(1 - 1 / K, k / (k + 9))`` for an average over K steps (Polyak & Juditsky 1992, in the exponential form)::

        a ← d a + (1 - d) w

    What training does not change is that of the model, to the bit.
    """

    def __init__(self, model: torch.nn.Module, steps: int) -> None:
        self.source, self.keep = model, 1 - 1 / steps
        self.model: Any = copy.deepcopy(model)
        both = zip(self.model.parameters(), model.parameters(), strict=True)
        self.pairs = [(mine, w) for mine, w in both if w.requires_grad]  # listed once: to walk through all modules at each step takes time
        self.taken = 0
        self.start()

    def start(self) -> None:
        """Begin anew from the model as it is."""
        self.taken = 0
        self.model.load_state_dict(self.source.state_dict())

    def follow(self) -> None:
        """Take the weights after another step."""
        follow_all([self])

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint keeps: the averaged weights, and the steps behind them."""
        return {"weights": self.model.state_dict(), "steps": torch.tensor(self.taken)}

    def restore(self, tensors: Mapping[str, Any] | None) -> None:
        """Go on from :meth:`tensors`; without any, anew from the model."""
        self.start()
        if tensors is not None:
            self.model.load_state_dict(tensors["weights"])
            self.taken = int(tensors["steps"])


@torch.no_grad()
def follow_all(averages: Sequence[AveragedModel]) -> None:
    """:meth:`AveragedModel.follow` of several, of those that keep as much in one operation."""
    pairs: dict[float, list[tuple[Tensor, Tensor]]] = {}
    for one in averages:
        one.taken += 1
        keep = min(one.keep, one.taken / (one.taken + 9))
        pairs.setdefault(keep, []).extend(one.pairs)
    for keep, found in pairs.items():
        torch._foreach_lerp_([mine for mine, _ in found], [w for _, w in found], 1 - keep)
