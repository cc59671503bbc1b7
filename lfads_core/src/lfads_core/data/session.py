"""One recording session: splits of trials and what rides along with them.

A recording larger than memory stays on disk (``stored``); its splits then hold an evenly spaced sample of the trials, for whatever
looks at many of them together: starting values, metrics, checks of a reconstruction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from lfads_core.data.rows import AbstractRows, SomeChannels


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The trials of ``train``, ``valid`` or ``test``."""

    encod: Float[np.ndarray, "B Te Ne"]
    recon: Float[np.ndarray, "B T N"]
    external: Float[np.ndarray, "B Tx E"]  # E = 0 when the file gives none
    nested: bool = True  # the input is the first bins and channels of what is reconstructed; False: another modality is reconstructed
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)  # any other array with one row per trial, by key without prefix

    @property
    def trials(self) -> int:
        """Number of trials."""
        return int(self.encod.shape[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSplit:
    """All trials of a split, on disk."""

    encod: AbstractRows  # (B, Te, Ne)
    recon: AbstractRows  # (B, T, N); the same object as ``encod`` when the values are
    external: AbstractRows | None  # (B, Tx, E)
    nested: bool = True
    sample: Int[np.ndarray, " S"]  # rows of the trials that the session's split holds in memory

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.encod.shape[0]

    def read(self, rows: Int[np.ndarray, " B"]) -> Split:
        """These trials in memory, without what rides along.

        Raises:
            DataError: the file can no longer be read.
        """
        encod = self.encod.take(rows)
        recon = encod if self.recon is self.encod else self.recon.take(rows)
        external = np.zeros((len(rows), recon.shape[1], 0), encod.dtype) if self.external is None else self.external.take(rows)
        return Split(encod=encod, recon=recon, external=external, nested=self.nested)

    def with_channels(self, held_in: Int[np.ndarray, " Ne"], order: Int[np.ndarray, " N"]) -> StoredSplit:
        """The same trials with other channels in the input and another order of those reconstructed."""
        return replace(self, encod=SomeChannels(self.encod, held_in), recon=SomeChannels(self.recon, order))


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """What a recording says of itself; it goes with a model that is trained on it."""

    channels: tuple[str, ...] | None = None  # names, in the order of the file
    bin_ms: float | None = None
    aligned_to: str | None = None  # event that trials are aligned to
    first_bin_ms: float | None = None
    contents: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of each split's data as the model sees them


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A file's contents under one name."""

    name: str
    path: Path | None
    splits: Mapping[str, Split]  # "train" and "valid", maybe "test"
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)  # arrays that belong to no split, such as readin_weight
    attributes: Mapping[str, Any] = field(default_factory=dict)  # file attributes, bin_ms and channel names among them
    stored: Mapping[str, StoredSplit] = field(default_factory=dict)  # all trials of each split, when they stay on disk
    known: KnownData | None = None  # what the file said, before channels were rearranged; None: not looked at

    def trials(self, split: str) -> int:
        """Number of trials of a split, in memory or on disk."""
        return (self.stored or self.splits)[split].trials

    @property
    def bin_ms(self) -> float | None:
        """Bin width in milliseconds, if the file says so."""
        value = self.attributes.get("bin_ms")
        return None if value is None else float(value)

    @property
    def first_bin_ms(self) -> float:
        """When the first bin of a trial begins, in milliseconds from the event that trials are aligned to; 0 if the file says nothing."""
        value = self.attributes.get("first_bin_ms", 0.0)
        return float(value) if isinstance(value, Real) and math.isfinite(value) else 0.0

    @property
    def behaviour(self) -> str:
        """What the file says of its behaviour; empty if nothing."""
        return str(next((self.attributes[key] for key in ("behavior", "behaviour") if key in self.attributes), ""))

    @property
    def aligned_to(self) -> str | None:
        """Name of the event that trials are aligned to, if the file says so."""
        value = self.attributes.get("aligned_to")
        return None if value is None else str(value)
