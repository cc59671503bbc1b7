"""What a recording holds, in numbers: the basis of the checks and of ``lfads data check``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Num, Shaped

from lfads_core.data.layout import same_values
from lfads_core.data.rows import AbstractRows
from lfads_core.data.session import Session, Split, StoredSplit

FEW_ZEROS = 0.05
"""With a smaller share of zeros, continuous values are hardly events."""

PERSISTENT = 0.5
"""Events are short: their neighbouring bins are correlated less than this, those of a fluorescence trace more."""

_TRIALS = 64  # trials in which neighbouring bins are compared
_CHUNK = 1 << 22  # values looked at together, so that the masks of a large recording do not fill the memory


@dataclass(frozen=True, kw_only=True)
class ArraySummary:
    """One array (trials, bins, channels). Lowest, highest and mean value leave out what is missing or infinite."""

    key: str  # as in the file, such as train_recon_data
    shape: tuple[int, int, int]
    dtype: str
    missing: int  # NaN
    infinite: int
    zeros: int
    negative: int
    fractional: int  # finite and not whole
    fraction: float | None  # one of the fractional values
    low: float | None
    high: float | None
    mean: float | None
    constant: tuple[int, ...]  # channels whose observed values are all the same, or that were never observed
    persistence: float | None = None  # correlation of neighbouring bins, median over channels; of whole numbers None

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split."""

    encod: ArraySummary
    recon: ArraySummary
    external: ArraySummary | None  # None without external inputs
    same: bool  # whether the encoders see exactly what is reconstructed
    nested: bool  # whether what they see is part of it
    truth_mean: float | None  # mean of the true rates, when they have the shape of the data
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # shapes

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.recon.shape[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class SessionSummary:
    """One session."""

    name: str
    path: Path | None
    bin_ms: float | None
    splits: Mapping[str, SplitSummary]
    arrays: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # shapes

    @property
    def where(self) -> str:
        """Beginning of a message about it."""
        return str(self.path) if self.path is not None else f"session '{self.name}'"


def summarise(session: Session) -> SessionSummary:
    """Look at every value of a session once."""
    return SessionSummary(
        name=session.name,
        path=session.path,
        bin_ms=session.bin_ms,
        splits={name: _summarise_split(name, split, session.stored.get(name)) for name, split in session.splits.items()},
        arrays={key: np.shape(values) for key, values in session.arrays.items()},
    )


def holds_counts(session: SessionSummary) -> bool:
    """Whether all values to reconstruct are 0, 1, 2... or missing."""
    return all(not split.recon.fractional and not split.recon.negative for split in session.splits.values())


def suggest_reconstruction(session: SessionSummary) -> str:
    """Say in one line what the reconstructed training data look like, and which plugin fits."""
    if holds_counts(session):
        return "counts (0, 1, 2...): --plugin poisson (lfads-plugins-std)"
    data = (session.splits.get("train") or next(iter(session.splits.values()))).recon
    if any(split.recon.negative for split in session.splits.values()):
        return "continuous values of both signs, such as dF/F: --plugin gaussian (lfads-plugins-std)"
    zeros, observed = data.zeros, data.size - data.missing - data.infinite
    if not any(split.recon.zeros for split in session.splits.values()):
        return "continuous values > 0, such as EMG envelopes: --plugin emg (lfads-plugins-emg)"
    if zeros <= FEW_ZEROS * observed:
        or_else = "or emg (lfads-plugins-emg) once zeros have a small floor"
        return f"continuous values >= 0, {zeros} of them 0: --plugin gaussian (lfads-plugins-std), {or_else}"
    share = f"{zeros / observed:.0%} of them 0"
    if data.persistence is not None and data.persistence > PERSISTENT:
        return f"continuous values >= 0, {share}, that last from bin to bin, such as dF/F clipped at 0: --plugin gaussian (lfads-plugins-std)"
    return f"continuous values >= 0, {share}, such as deconvolved events: --plugin zig (lfads-plugins-calcium)"


def _summarise_split(name: str, split: Split, stored: StoredSplit | None) -> SplitSummary:
    whole = split if stored is None else stored
    external = None if whole.external is None or not whole.external.shape[2] else whole.external
    same = whole.recon is whole.encod or (stored is None and same_values(split.encod, split.recon))
    recon = summarise_array(f"{name}_recon_data", whole.recon)
    truth = split.extras.get("truth")
    comparable = truth is not None and truth.shape == split.recon.shape and truth.size > 0 and truth.dtype.kind in "iuf"
    return SplitSummary(
        encod=recon if same else summarise_array(f"{name}_encod_data", whole.encod),
        recon=recon,
        external=None if external is None else summarise_array(f"{name}_ext_input", external),
        same=same,
        nested=whole.nested,
        truth_mean=float(np.mean(truth, dtype=np.float64)) if comparable and truth is not None else None,
        extras={key: (whole.trials, *values.shape[1:]) for key, values in split.extras.items()},
    )


def summarise_array(key: str, values: Num[np.ndarray, "B T N"] | AbstractRows) -> ArraySummary:
    """Look at one array, some trials at a time."""
    trials, bins, channels = values.shape
    parts = [_look(block) for block in _blocks(values)]
    low = np.min([p.low for p in parts], axis=0)
    high = np.max([p.high for p in parts], axis=0)
    observed = low <= high
    size = trials * bins * channels
    finite = size - sum(p.missing + p.infinite for p in parts)
    return ArraySummary(
        key=key,
        shape=(trials, bins, channels),
        dtype=str(values.dtype),
        missing=sum(p.missing for p in parts),
        infinite=sum(p.infinite for p in parts),
        zeros=sum(p.zeros for p in parts),
        negative=sum(p.negative for p in parts),
        fractional=sum(p.fractional for p in parts),
        fraction=next((p.fraction for p in parts if p.fraction is not None), None),
        low=float(low[observed].min()) if observed.any() else None,
        high=float(high[observed].max()) if observed.any() else None,
        mean=sum(p.total for p in parts) / finite if finite else None,
        constant=tuple(int(i) for i in np.flatnonzero(low >= high)) if size else (),
        persistence=_persistence(values) if any(p.fractional for p in parts) else None,
    )


def _persistence(values: Num[np.ndarray, "B T N"] | AbstractRows) -> float | None:
    """Median over channels of the correlation of neighbouring bins, in the first trials; None without a channel that changes."""
    rows = np.arange(min(values.shape[0], _TRIALS))
    some = np.asarray(values.take(rows) if isinstance(values, AbstractRows) else values[rows], dtype=np.float64)
    x, y = some[:, :-1], some[:, 1:]
    there = np.isfinite(x) & np.isfinite(y)
    count = there.sum(axis=(0, 1)).clip(1)
    x, y = (np.where(there, part - (part.sum(axis=(0, 1), where=there) / count), 0.0) for part in (x, y))
    power = np.sqrt((x * x).sum(axis=(0, 1)) * (y * y).sum(axis=(0, 1)))
    changing = power > 0
    return float(np.median((x * y).sum(axis=(0, 1))[changing] / power[changing])) if changing.any() else None


def _blocks(values: Num[np.ndarray, "B T N"] | AbstractRows) -> Iterator[Num[np.ndarray, "b T N"]]:
    if isinstance(values, AbstractRows):
        for _, block in values.blocks():
            yield block
        return
    trials, bins, channels = values.shape
    step = max(1, _CHUNK // max(1, bins * channels))
    for first in range(0, max(trials, 1), step):
        yield values[first : first + step]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Counts over some trials; ``low > high`` for a channel without a finite value."""

    missing: int
    infinite: int
    zeros: int
    negative: int
    fractional: int
    fraction: float | None
    total: float
    low: Shaped[np.ndarray, " N"]
    high: Shaped[np.ndarray, " N"]


def _look(values: Num[np.ndarray, "b T N"]) -> _Part:
    finite = np.isfinite(values)
    odd = finite & (values != np.rint(values))
    where_odd = np.argwhere(odd)[:1]
    missing = int(np.isnan(values).sum())
    return _Part(
        missing=missing,
        infinite=int(finite.size - finite.sum()) - missing,
        zeros=int((values == 0).sum()),
        negative=int((finite & (values < 0)).sum()),
        fractional=int(odd.sum()),
        fraction=float(values[tuple(where_odd[0])]) if len(where_odd) else None,
        total=float(values.sum(where=finite, dtype=np.float64)),
        low=values.min(axis=(0, 1), where=finite, initial=np.inf).astype(np.float64),
        high=values.max(axis=(0, 1), where=finite, initial=-np.inf).astype(np.float64),
    )
