"""Cut sessions into batches: every trial once an epoch, every session in step with the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lfads_core.components.batch import Batch
from lfads_core.data.session import Split, StoredSplit
from lfads_core.errors import ConfigError, DataError

T = TypeVar("T")


@runtime_checkable
class TrialSource(Protocol):
    """Trials of one session that can be taken by row, wherever they are kept."""

    @property
    def trials(self) -> int:
        """How many there are."""
        ...

    @property
    def sample(self) -> Int[np.ndarray, " S"] | None:
        """Rows that stand for all where many trials are held together (predictions for metrics); None: all of them."""
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

    @property
    def sample(self) -> None:
        """All trials are in memory, so all stand for themselves."""
        return

    def take(self, rows: Int[Tensor, " B"]) -> Batch:
        """Return these trials, in this order."""
        rows = rows.to(self.encod.device, non_blocking=True)  # numbers in ordinary memory are taken at once, and nothing waits
        encod = self.encod[rows]
        recon = encod if self.recon is self.encod else self.recon[rows]
        extras = {key: value[rows] for key, value in self.extras.items()}
        return Batch(encod=encod, recon=recon, external=self.external[rows], trials=rows, nested=self.nested, extras=extras)


class StoredTrials:
    """A split on disk, read batch by batch and put on a device."""

    def __init__(self, split: StoredSplit, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self._split, self._device, self._dtype = split, torch.device(device), dtype

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self._split.trials

    @property
    def sample(self) -> Int[np.ndarray, " S"]:
        """Rows of the trials that stand for all."""
        return self._split.sample

    def take(self, rows: Int[Tensor, " B"]) -> Batch:
        """Read these trials, in this order.

        Raises:
            DataError: the file can no longer be read.
        """
        read = SplitTensors.from_split(self._split.read(rows.cpu().numpy()), self._device, self._dtype)
        whole = read.take(torch.arange(read.trials))
        return replace(whole, trials=rows.to(self._device))


class HostTrials:
    """A split in the host's memory, too large for the device: batches are put there one by one."""

    sample = None

    def __init__(self, split: SplitTensors, device: torch.device | str) -> None:
        self._split, self._device = split, torch.device(device)

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self._split.trials

    def take(self, rows: Int[Tensor, " B"]) -> Batch:
        """Copy these trials, in this order, to the device."""
        batch = self._split.take(rows)
        encod = self._moved(batch.encod)
        return replace(
            batch,
            encod=encod,
            recon=encod if batch.recon is batch.encod else self._moved(batch.recon),
            external=self._moved(batch.external),
            trials=self._moved(batch.trials),
            extras={key: self._moved(value) for key, value in batch.extras.items()},
        )

    def _moved(self, values: Tensor) -> Tensor:
        pinned = values.pin_memory() if self._device.type == "cuda" else values
        return pinned.to(self._device, non_blocking=True)


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

    def take(step: int) -> dict[str, Batch]:
        begin, end = ends[step] - counts[step], ends[step]
        return {name: source.take(rows[i][begin[i] : end[i]]) for i, (name, source) in enumerate(sessions.items()) if end[i] > begin[i]}

    if any(not isinstance(source, SplitTensors) for source in sessions.values()):
        yield from ahead(take, steps)
    else:
        yield from map(take, range(steps))


def ahead(take: Callable[[int], T], steps: int) -> Iterator[T]:
    """``take(0)``, ``take(1)``, ... with the next always being read in a thread while the last is used."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="lfads-read") as reader:
        following = reader.submit(take, 0)
        for step in range(steps):
            here = following.result()
            if step + 1 < steps:
                following = reader.submit(take, step + 1)
            yield here


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
