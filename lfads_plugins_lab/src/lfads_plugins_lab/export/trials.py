"""All trials of a session in the order of the recording, whatever split they were in; averages by condition; one long sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lfads_core.data.layout import CONDITION_KEYS
from lfads_core.errors import DataError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class MergedTrials:
    """Arrays with one row per trial of the recording, by name without split."""

    arrays: Mapping[str, np.ndarray]
    split: np.ndarray  # (B), the split each trial was in
    trial: np.ndarray  # (B), its number in the recording
    in_order: bool  # whether the file said what the recording's order is


def merge_splits(outputs: Mapping[str, np.ndarray]) -> MergedTrials:
    """Merge what an output file holds: rows by ``<split>_inds`` where every split has them, else one split after the other.

    Raises:
        DataError: there are no outputs, or a trial is in two splits.
    """
    there = [split for split in SPLITS if f"{split}_output_params" in outputs]
    if not there:
        raise DataError("outputs: must hold '<split>_output_params', got none. Make them with `lfads infer`.")
    counts = {split: len(outputs[f"{split}_output_params"]) for split in there}
    names = [key.removeprefix(f"{there[0]}_") for key in outputs if key.startswith(f"{there[0]}_")]
    shared = [name for name in names if all(_rows(outputs, split, name) == counts[split] for split in there)]
    total = sum(counts.values())
    split = np.concatenate([np.full(count, name) for name, count in counts.items()])
    in_order = "inds" in shared
    trial = np.concatenate([np.asarray(outputs[f"{s}_inds"]).reshape(-1) for s in there]).astype(np.int64) if in_order else np.arange(total)
    if len(np.unique(trial)) != total:
        raise DataError("outputs: '<split>_inds' must name every trial once over all splits, got some twice. Mend them in the recording.")
    order = np.argsort(trial)
    arrays = {
        name: np.concatenate([outputs[f"{s}_{name}"] for s in there])[order] for name in shared if name != "inds" and _alike(outputs, there, name)
    }
    return MergedTrials(arrays=arrays, split=split[order], trial=trial[order], in_order=in_order)


def _rows(outputs: Mapping[str, np.ndarray], split: str, name: str) -> int:
    array = outputs.get(f"{split}_{name}")
    return -1 if array is None or np.ndim(array) == 0 else len(array)


def _alike(outputs: Mapping[str, np.ndarray], splits: list[str], name: str) -> bool:
    return len({outputs[f"{s}_{name}"].shape[1:] for s in splits}) == 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionAverages:
    """Averages over the trials of each condition."""

    labels: np.ndarray  # (C), or (C, k) for conditions of several numbers
    trials: np.ndarray  # (C), how many there are
    arrays: Mapping[str, np.ndarray]  # (C, T, ...)


def condition_key(merged: MergedTrials, wanted: str | None) -> str | None:
    """Name of the array that tells conditions: the one wanted, or the first of the usual names that is there.

    Raises:
        DataError: the wanted one is not there, or has no one label per trial.
    """
    if wanted is None:
        return next((name for name in CONDITION_KEYS if name in merged.arrays), None)
    if wanted not in merged.arrays or merged.arrays[wanted].ndim > 2:
        known = ", ".join(sorted(name for name, value in merged.arrays.items() if value.ndim == 1)) or "none"
        raise DataError(f"--conditions: must name an array with a label for each trial ({known} here), got {wanted!r}.")
    return wanted


def average_conditions(merged: MergedTrials, key: str, bins: int) -> ConditionAverages:
    """Mean over the trials of each condition of every real-valued array (B, T, ...); missing values are left out."""
    labels, which = np.unique(merged.arrays[key], axis=0, return_inverse=True)
    which = which.reshape(-1)
    timed = {name: value for name, value in merged.arrays.items() if value.ndim == 3 and value.shape[1] == bins and value.dtype.kind in "fiu"}
    arrays = {}
    for name, value in timed.items():
        seen = ~np.isnan(value) if value.dtype.kind == "f" else np.ones(value.shape, dtype=bool)
        filled = np.where(seen, value, 0)
        total = np.stack([filled[which == c].sum(axis=0, dtype=np.float64) for c in range(len(labels))])
        count = np.stack([seen[which == c].sum(axis=0) for c in range(len(labels))])
        arrays[name] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return ConditionAverages(labels=labels, trials=np.bincount(which, minlength=len(labels)), arrays=arrays)


def concatenated(merged: MergedTrials, bins: int) -> dict[str, np.ndarray]:
    """Every array (B, T, K) as one sequence (B T, K), trial after trial."""
    return {name: value.reshape(-1, value.shape[2]) for name, value in merged.arrays.items() if value.ndim == 3 and value.shape[1] == bins}
