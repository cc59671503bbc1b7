"""From named arrays to a session: which key is what, and whether the shapes fit together."""

from __future__ import annotations

import dataclasses
import difflib
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from lfads_core.data.legacy import SPLITS, new_names, rates_per_bin
from lfads_core.data.objects import as_array
from lfads_core.data.rows import row_blocks
from lfads_core.data.session import Session, Split
from lfads_core.errors import DataError
from lfads_core.wording import first_few, shown

CONDITION_KEYS = ("cond", "cond_idx", "condition", "conditions", "condition_labels", "cond_labels")
"""Names under which a trial's condition is looked for, without the split's prefix."""


@runtime_checkable
class Source(Protocol):
    """An array that may still be on disk; its shape and type are known before it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        ...

    def read(self, dtype: DTypeLike | None) -> np.ndarray:
        """Return the values, converted where a type is given."""
        ...

    def blocks(self, dtype: DTypeLike) -> Iterator[tuple[int, np.ndarray]]:
        """Return the values some rows at a time, each time with the number of the first."""
        ...


class _InMemory:
    """A NumPy array as a source."""

    def __init__(self, what: str, values: Any) -> None:
        self._values = as_array(what, values)
        self.shape = self._values.shape
        self.dtype = self._values.dtype

    def read(self, dtype: DTypeLike | None) -> np.ndarray:
        """Return the values themselves, or a converted copy."""
        return self._values if dtype is None else self._values.astype(dtype, copy=False)

    def blocks(self, dtype: DTypeLike) -> Iterator[tuple[int, np.ndarray]]:
        """Return the values some rows at a time."""
        for rows in row_blocks(self.shape, np.dtype(dtype).itemsize):
            yield rows.start, self._values[rows].astype(dtype, copy=False)


def session_from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    dtype: DTypeLike = np.float32,
    required: Collection[str] = ("train", "valid"),
) -> Session:
    """Make a session from NumPy arrays under the keys of a file, such as ``train_encod_data`` (trials, bins, channels).

    ``required`` names the splits that must be there; with ``()`` any one of them does.

    Raises:
        DataError: A key is missing, or the arrays do not fit together.
    """
    where = f"session '{name}'"
    if odd := [key for key in arrays if not isinstance(key, str)]:
        raise DataError(f"{where}: arrays must be called by texts, such as 'train_encod_data', got {shown(odd[0])}. Rename them.")
    sources = {key: _InMemory(f"{where}: '{key}'", values) for key, values in arrays.items()}
    return build_session(name, sources, attributes or {}, where=where, dtype=dtype, required=required)


def rebuild_session(session: Session, *, name: str, path: Path, dtype: DTypeLike, required: Collection[str]) -> Session:
    """Hold a session that came from elsewhere, such as a plugin's reader, to the same rules as a file."""
    sources = {key: _InMemory(f"{path}: '{key}'", values) for key, values in session_arrays(session).items()}
    return build_session(name, sources, session.attributes, where=str(path), path=path, dtype=dtype, required=required)


def session_arrays(session: Session) -> dict[str, np.ndarray]:
    """Everything a session holds in memory, under the keys of a file."""
    arrays = dict(session.arrays)
    for split_name, split in session.splits.items():
        arrays[f"{split_name}_encod_data"] = split.encod
        if split.recon is not split.encod:
            arrays[f"{split_name}_recon_data"] = split.recon
        if split.external.shape[-1]:
            arrays[f"{split_name}_ext_input"] = split.external
        arrays.update({f"{split_name}_{key}": values for key, values in split.extras.items()})
    return arrays


def build_session(
    name: str,
    sources: Mapping[str, Source],
    attributes: Mapping[str, Any],
    *,
    where: str,
    path: Path | None = None,
    dtype: DTypeLike = np.float32,
    required: Collection[str] = ("train", "valid"),
) -> Session:
    """Read every source and give it its place; ``where`` begins each error, ``required`` names the splits that must be there."""
    names = new_names(sources)
    left = {new: sources[old] for old, new in names.items()}
    present = [s for s in SPLITS if f"{s}_encod_data" in left or f"{s}_recon_data" in left]
    for split in (*required, *present) or ("train",):
        if f"{split}_encod_data" not in left:
            raise DataError(f"{where}: {_missing(split, sources, path, recon_only=f'{split}_recon_data' in left)}")
    splits = {s: _read_split(s, left, where, dtype) for s in SPLITS if s in present}
    _same_sizes(splits, where)
    _same_sorts(splits, where)
    arrays = {key: source.read(None) for key, source in left.items()}
    if (factor := arrays.pop("conversion_factor", None)) is not None:
        splits = {s: _with_true_rates(split, factor, f"{where}: {s}_truth") for s, split in splits.items()}
    attributes = dict(attributes)
    if (width := arrays.pop("bin_ms", None)) is not None:
        attributes.setdefault("bin_ms", width.item() if width.size == 1 else width)
    _check_bin_width(attributes.get("bin_ms"), where)
    return Session(name=name, path=path, splits=splits, arrays=arrays, attributes=attributes)


def _missing(split: str, keys: Collection[str], path: Path | None, *, recon_only: bool) -> str:
    """Say which key is missing, what comes near it, what there is, and what makes it."""
    wanted = f"{split}_encod_data"
    if recon_only:
        return f"'{wanted}' must be there beside '{split}_recon_data', found none. The encoders need something to read: add it."
    taken = {f"{other}_encod_data" for other in SPLITS}  # right where they are
    near = difflib.get_close_matches(wanted, set(keys) - taken, n=2, cutoff=0.75)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    shown = first_few([*map(repr, sorted(keys))], 20)
    holds = f"It holds {shown}." if shown else "It holds no array at all."
    remedy = f"Rename the array to '{wanted}' or '{split}_data'"
    if split != "train" and not near and path is not None:
        remedy = f"Split its trials anew: lfads data split {shlex.quote(str(path))} -o {shlex.quote(path.stem)}_split.h5"
    elif split == "train":
        remedy += "; a raw recording is made into such a file by `lfads data make`."
    return f"'{wanted}' (trials, bins, channels) must be there, found none.{hint} {holds} {remedy}{'' if remedy.endswith(('.', '.h5')) else '.'}"


def _read_split(split: str, left: dict[str, Source], where: str, dtype: DTypeLike) -> Split:
    """Take one split's arrays out of ``left``."""
    encod_key, recon_key, external_key = (f"{split}_{what}" for what in ("encod_data", "recon_data", "ext_input"))
    encod_source = left.pop(encod_key)
    _must_be_trials(encod_key, encod_source, where)
    trials, encod_bins = encod_source.shape[:2]
    encod = encod_source.read(dtype)
    recon, nested = encod, True
    if (recon_source := left.pop(recon_key, None)) is not None:
        _must_be_trials(recon_key, recon_source, where)
        _must_match_trials(recon_key, recon_source, encod_key, trials, where)
        bins = recon_source.shape[1]
        if encod_bins > bins:
            raise DataError(
                f"{where}: '{encod_key}' must not have more bins than '{recon_key}', got {encod_bins} and {bins}. "
                "Cut the input, or reconstruct all bins that are read."
            )
        if not _all_same(encod, recon_source, dtype):  # most files store the same values twice; keep them once
            recon = recon_source.read(dtype)
            nested = agreement(encod, recon).nested
    external = np.zeros((trials, recon.shape[1], 0), dtype=dtype)
    if (external_source := left.pop(external_key, None)) is not None:
        _must_be_trials(external_key, external_source, where, may_be_narrow=True)
        _must_match_trials(external_key, external_source, encod_key, trials, where)
        if external_source.shape[1] > recon.shape[1]:
            raise DataError(
                f"{where}: '{external_key}' must not have more bins than are reconstructed, got {external_source.shape[1]} and {recon.shape[1]}. "
                "Cut it to the bins of the data."
            )
        external = external_source.read(dtype)
    prefix = f"{split}_"
    riding = [key for key, source in left.items() if key.startswith(prefix) and source.shape[:1] == (trials,)]
    extras = {key.removeprefix(prefix): left.pop(key).read(None) for key in riding}
    return Split(encod=encod, recon=recon, external=external, nested=nested, extras=extras)


def same_values(encod: np.ndarray, recon: np.ndarray) -> bool:
    """Whether two arrays, or the same trials of two, hold the same values; compared block by block, for masks take memory too."""
    if recon.shape != encod.shape:
        return False
    return all(np.array_equal(recon[rows], encod[rows], equal_nan=True) for rows in row_blocks(recon.shape, recon.dtype.itemsize))


def _all_same(encod: np.ndarray, recon: Source, dtype: DTypeLike) -> bool:
    """Whether a target that may still be on disk holds the input's values; a block at a time, for two of them may not fit into memory."""
    if recon.shape != encod.shape:
        return False
    return all(same_values(encod[first : first + len(block)], block) for first, block in recon.blocks(dtype))


def agreement(encod: np.ndarray, recon: np.ndarray) -> Agreement:
    """How far the input's values are the first bins and channels of the target."""
    bins, channels = encod.shape[1:]
    if channels > recon.shape[2]:
        return Agreement(telling=1, agreeing=0)
    found = Agreement(telling=0, agreeing=0)
    for rows in row_blocks(recon.shape, recon.dtype.itemsize):
        target, seen = recon[rows, :bins, :channels], encod[rows]
        telling = ((target != 0) | (seen != 0)) & ~np.isnan(target) & ~np.isnan(seen)
        found += Agreement(telling=int(telling.sum()), agreeing=int((target == seen)[telling].sum()))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Values of the input and the target that both hold, and how many of them agree.

    Zeros say nothing: two sets of neurons are silent in most bins.
    """

    telling: int
    agreeing: int

    def __add__(self, other: Agreement) -> Agreement:
        """Counts of two parts together."""
        return Agreement(telling=self.telling + other.telling, agreeing=self.agreeing + other.agreeing)

    @property
    def nested(self) -> bool:
        """Whether one is part of the other, but for a few values that somebody mended: half of those that tell must agree."""
        return 2 * self.agreeing >= self.telling


def _must_be_trials(key: str, source: Source, where: str, *, may_be_narrow: bool = False) -> None:
    """Refuse what is not numbers, not three axes, or empty along one."""
    if source.dtype.kind not in "biuf":
        raise DataError(f"{where}: '{key}' must hold numbers, got type {source.dtype}. Store it as integers or floating-point numbers.")
    if len(source.shape) != 3:
        raise DataError(
            f"{where}: '{key}' must be (trials, bins, channels), got shape {source.shape}. "
            "Give it three axes in this order, of length 1 where there is one."
        )
    for length, unit in zip(source.shape, ("trials", "bins", "channels"), strict=True):
        if length == 0 and not (may_be_narrow and unit == "channels"):
            raise DataError(
                f"{where}: '{key}' must have at least one of each of trials, bins and channels, got no {unit} {source.shape}. Fill or delete it."
            )


def _must_match_trials(key: str, source: Source, other: str, trials: int, where: str) -> None:
    if source.shape[0] != trials:
        raise DataError(
            f"{where}: '{key}' must have as many trials as '{other}', got {source.shape[0]} and {trials}. Write both from the same trials."
        )


def _same_sizes(splits: Mapping[str, Split], where: str) -> None:
    """Refuse splits of one file that differ in anything but the number of trials."""
    first, *others = splits
    for other in others:
        for what, key in (("encod", "encod_data"), ("recon", "recon_data"), ("external", "ext_input")):
            mine, yours = getattr(splits[first], what).shape[1:], getattr(splits[other], what).shape[1:]
            if mine != yours:
                raise DataError(
                    f"{where}: '{first}_{key}' and '{other}_{key}' must have the same bins and channels, got {mine} and {yours}. "
                    "Cut both splits from one recording in one way."
                )


def _same_sorts(splits: Mapping[str, Split], where: str) -> None:
    """Refuse what comes with trials as numbers in one split and as text in another: the two can never be told to be the same."""
    for key in dict.fromkeys(key for split in splits.values() for key in split.extras):
        found = {f"'{name}_{key}'": split.extras[key].dtype.kind in "SUO" for name, split in splits.items() if key in split.extras}
        if len(set(found.values())) > 1:
            told = ", ".join("text" if is_text else "numbers" for is_text in found.values())
            raise DataError(f"{where}: {' and '.join(found)} must be of one sort, got {told}. Write them alike, or rename one.")


def _with_true_rates(split: Split, factor: np.ndarray, where: str) -> Split:
    if "truth" not in split.extras:
        return split
    truth = rates_per_bin(split.extras["truth"], factor, where=where)
    return dataclasses.replace(split, extras={**split.extras, "truth": truth})


def _check_bin_width(width: Any, where: str) -> None:
    if width is None:
        return
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < float("inf"):
        raise DataError(f"{where}: attribute 'bin_ms' must be one number of milliseconds > 0, got {width!r}. Mend or delete it.")
