"""The average of a model's weights over its last steps, which is what validation judges and rates are inferred with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from lfads_core.model.lfads import LFADS


class AveragedModel:
    """A copy of a model whose trained weights follow it.

    After step k, with ``d = min(1 - 1 / K, k / (k + 9))`` for an average over K steps (Polyak & Juditsky 1992, in the exponential form)::

        a ← d a + (1 - d) w

    What training does not change is that of the model, to the bit.
    """

    def __init__(self, model: LFADS, steps: int) -> None:
        self.source, self.keep = model, 1 - 1 / steps
        self.model = copy.deepcopy(model)
        self.taken = 0
        self.start()

    def start(self) -> None:
        """Begin anew from the model as it is."""
        self.taken = 0
        self.model.load_state_dict(self.source.state_dict())

    @torch.no_grad()
    def follow(self) -> None:
        """Take the weights after another step."""
        self.taken += 1
        keep = min(self.keep, self.taken / (self.taken + 9))
        pairs = [(mine, w) for mine, w in zip(self.model.parameters(), self.source.parameters(), strict=True) if w.requires_grad]
        torch._foreach_lerp_([mine for mine, _ in pairs], [w for _, w in pairs], 1 - keep)

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint keeps: the averaged weights, and the steps behind them."""
        return {"weights": self.model.state_dict(), "steps": torch.tensor(self.taken)}

    def restore(self, tensors: Mapping[str, Any] | None) -> None:
        """Go on from :meth:`tensors`; without any, anew from the model."""
        self.start()
        if tensors is not None:
            self.model.load_state_dict(tensors["weights"])
            self.taken = int(tensors["steps"])
