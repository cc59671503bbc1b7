"""Batches filled up to one size, so that few graphs serve many steps: each session's trials to the most that a step has of them.

What fills up are copies of a session's first trial with weight 0 (``batch.weights``). They are read, decoded and priced as the others are, and left
out of every mean. Draws are the same to the bit, for a batch is filled up after them, and what fills up has gradients of 0, to the bit. All else is
the same to rounding, for products of more rows are summed in another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lfads_core.augment.stack import AugmentationStack
from lfads_core.components.batch import Batch
from lfads_core.model.lfads import LFADS
from lfads_core.model.noise import Noise
from lfads_core.model.rows import mapped, tensors_in

Counts = dict[str, int]
"""Trials of each session."""


class Sizes:
    """The most trials of each session that were seen so far, of one kind of batches."""

    def __init__(self) -> None:
        self.most: Counts = {}
        self.differ = False  # whether batches of different sizes were seen

    def see(self, batches: Mapping[str, Batch]) -> bool:
        """Take one batch's sizes in; say whether what others are filled up to has changed by it."""
        counts = counts_of(batches)
        before = self.differ, dict(self.most)
        self.differ |= any(count != self.most.get(name, count) for name, count in counts.items())
        self.most.update({name: max(count, self.most.get(name, 0)) for name, count in counts.items()})
        return before[0] != self.differ or any(self.most[name] != count for name, count in before[1].items())


@dataclass(frozen=True, kw_only=True)
class Fill:
    """How one batch is filled up: trials there are of each session, and trials there will be."""

    have: Counts
    want: Counts

    def of_sessions(self, batches: Mapping[str, Any]) -> dict[str, Any]:
        """Something of each session, such as its batch; a batch says from now on which of its trials count."""
        done = {name: mapped(part, partial(self._longer, [name])) for name, part in batches.items()}
        batch = next(iter(done.values()), None)
        if not isinstance(batch, Batch):
            return done
        weights = torch.tensor([float(i < self.have[name]) for name in done for i in range(self.want[name])], dtype=batch.recon.dtype)
        parts = weights.to(batch.recon.device, non_blocking=True).split([self.want[name] for name in done])
        return {name: replace(of, weights=own) for (name, of), own in zip(done.items(), parts, strict=True)}

    def of_all(self, value: Any) -> Any:
        """Something of all sessions' trials side by side, such as noise."""
        return mapped(value, partial(self._longer, list(self.have)))

    def fits(self, sessions: Iterable[Mapping[str, Any]], whole: Any) -> bool:
        """Whether every tensor has a row for each trial."""
        own = all(value.dim() and value.shape[0] == self.have[name] for of in sessions for name, part in of.items() for value in tensors_in(part))
        total = sum(self.have.values())
        return own and all(value.dim() and value.shape[0] == total for value in tensors_in(whole))

    def _longer(self, names: Sequence[str], value: Tensor) -> Tensor:
        pieces = []
        for name, end in zip(names, accumulate(self.have[name] for name in names), strict=True):
            first, missing = end - self.have[name], self.want[name] - self.have[name]
            pieces.append(value[first:end])
            if missing:
                pieces.append(value[first : first + 1].expand(missing, *value.shape[1:]))
        return torch.cat(pieces) if len(pieces) > 1 else value


def counts_of(batches: Mapping[str, Batch]) -> Counts:
    """Trials of each session."""
    return {name: batch.trials.shape[0] for name, batch in batches.items()}


def may_be_filled(model: LFADS, stack: AugmentationStack) -> bool:
    """Whether trials can be left out of all means: losses of plugins take means of their own."""
    return not model.losses and stack.heeds_weights


def filled(batches: Mapping[str, Batch], noise: Noise, sizes: Sizes) -> tuple[dict[str, Batch], Noise] | None:
    """Batches and noise of the sizes seen before; None if something is not of single trials."""
    fill = Fill(have=counts_of(batches), want={name: sizes.most[name] for name in batches})
    if not fill.fits([batches], noise):
        return None
    return fill.of_sessions(batches), fill.of_all(noise)
