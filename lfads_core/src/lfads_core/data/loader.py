"""Cut sessions into batches: every trial once an epoch, every session in step with the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lfads_core.data.batch import Batch
from lfads_core.data.session import Split
from lfads_core.errors import ConfigError, DataError


@runtime_checkable
class TrialSource(Protocol):
    """Trials of one session that can be taken by row, wherever they are kept."""

    @property
    def trials(self) -> int:
        """How many there are."""
        ...

    def take(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return these trials, in this order."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitTensors:
    """A split held as tensors on one device."""

    encod: Float[Tensor, "B Te Ne"]
    recon: Float[Tensor, "B T N"]
    external: Float[Tensor, "B Tx E"]
    nested: bool = True
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def from_split(
        cls, split: Split, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, *, extras: Collection[str] | None = None
    ) -> SplitTensors:
        """Put a split on a device; data of any type become ``dtype``.

        ``extras`` names the per-trial arrays that travel in batches (None: all that are numbers); text stays in the split.
        """
        encod = _tensor(split.encod, device, dtype)
        recon = encod if split.recon is split.encod else _tensor(split.recon, device, dtype)
        wanted = [k for k, v in split.extras.items() if v.dtype.kind in "biuf" and (extras is None or k in extras)]
        riding = {k: _tensor(v, device, dtype if v.dtype.kind == "f" else None) for k in wanted for v in (split.extras[k],)}
        return cls(encod=encod, recon=recon, external=_tensor(split.external, device, dtype), nested=split.nested, extras=riding)

    @property
    def trials(self) -> int:
        """Number of trials."""
        return int(self.encod.shape[0])

    def take(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return these trials, in this order."""
        rows = rows.to(self.encod.device)
        encod = self.encod[rows]
        recon = encod if self.recon is self.encod else self.recon[rows]
        extras = {key: value[rows] for key, value in self.extras.items()}
        return Batch(encod=encod, recon=recon, external=self.external[rows], trials=rows, nested=self.nested, extras=extras)


def steps_per_epoch(sessions: Mapping[str, TrialSource], batch_size: int) -> int:
    """Number of batches that visit every trial once, ``ceil(trials / batch_size)`` over all sessions together."""
    if batch_size < 1:
        raise ConfigError(f"data.batch_size: must be >= 1, got {batch_size}")
    total = sum(source.trials for source in sessions.values())
    if total == 0:
        raise DataError("an epoch must visit at least one trial, but the sessions hold none. Give a split that has trials.")
    return -(-total // batch_size)


def epoch_batches(sessions: Mapping[str, TrialSource], batch_size: int, rng: torch.Generator | None = None) -> Iterator[dict[str, Batch]]:
    """Yield batches that visit every trial exactly once, shuffled by ``rng`` or in the file's order without one.

    One step never has more than ``batch_size`` trials over all sessions, and no two steps differ by more than one trial: a last batch
    of a few trials would cost as much time as a full one and weigh as much. Several sessions are spread evenly, so each ends with the
    last step and none is repeated: one with at least as many trials as there are steps is in every step, a smaller one in as many steps
    as it has trials.
    """
    steps = steps_per_epoch(sessions, batch_size)
    counts = _shares([source.trials for source in sessions.values()], steps)
    if rng is not None and len(sessions) > 1:
        counts = counts[_order(steps, rng).cpu().numpy()]
    rows = [_order(source.trials, rng) for source in sessions.values()]
    ends = counts.cumsum(axis=0)
    for begin, end in zip(ends - counts, ends, strict=True):
        yield {name: source.take(rows[i][begin[i] : end[i]]) for i, (name, source) in enumerate(sessions.items()) if end[i] > begin[i]}


def _shares(trials: list[int], steps: int) -> Int[np.ndarray, "steps sessions"]:
    """How many trials of each session each step takes.

    Every step gets the whole part of ``trials / steps``. The rest of each session goes to one step after another, going on
    where the last session stopped, so two steps never differ by more than one trial and none exceeds the batch size.
    """
    counts = np.empty((steps, len(trials)), dtype=np.int64)
    at = 0
    for i, n in enumerate(trials):
        whole, rest = divmod(n, steps)
        counts[:, i] = whole
        counts[(at + np.arange(rest)) % steps, i] += 1
        at += rest
    return counts


def _order(n: int, rng: torch.Generator | None) -> Int[Tensor, " n"]:
    return torch.arange(n) if rng is None else torch.randperm(n, generator=rng, device=rng.device)


def _tensor(values: np.ndarray, device: torch.device | str, dtype: torch.dtype | None) -> Tensor:
    """Copy nothing that need not be: floats of the right type on the CPU stay where the session keeps them."""
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:
        values = values.astype(np.int64)  # torch computes with no wider unsigned integers
    if not values.flags.writeable or not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="), copy=True)
    return torch.as_tensor(values, dtype=dtype, device=device)
