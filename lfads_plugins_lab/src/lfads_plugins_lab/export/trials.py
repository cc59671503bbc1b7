"""All trials of a session in the order of the recording, whatever split they were in; averages by condition; one long sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lfads_core.data.layout import CONDITION_KEYS
from lfads_core.data.legacy import SPLITS
from lfads_core.data.order import OF_CHANNELS, ChannelOrder, TrialOrder, channel_order, of_each_channel, trial_order
from lfads_core.errors import DataError
from lfads_core.infer.posterior import OF_DISTRIBUTION

_OF_CHANNELS = ("recon_data", "output_params", "rates_hz", *OF_CHANNELS)


@dataclass(frozen=True, kw_only=True, eq=False)
class MergedTrials:
    """Arrays with one row per trial of the recording and its channels in its own order, by name without split."""

    arrays: Mapping[str, np.ndarray]
    order: TrialOrder
    channels: ChannelOrder
    about: Mapping[str, np.ndarray]  # what is said of each channel (N, ...), names among it


def merge_splits(outputs: Mapping[str, np.ndarray], attributes: Mapping[str, Any] | None = None) -> MergedTrials:
    """Merge what an output file holds, in the recording's order as :mod:`lfads_core.data.order` finds it.

    What its arrays and its attributes say of each channel is put into the same order.

    Raises:
        DataError: there are no outputs, or a trial is in two splits.
    """
    there = [split for split in SPLITS if f"{split}_output_params" in outputs]
    if not there:
        raise DataError("outputs: must hold '<split>_output_params', got none. Make them with `lfads infer`.")
    inferred = {key: value for key, value in outputs.items() if key.partition("_")[0] not in {*SPLITS} - {*there}}
    order, channels = trial_order(inferred), channel_order(inferred)
    counts = {split: len(outputs[f"{split}_output_params"]) for split in there}
    names = [key.removeprefix(f"{there[0]}_") for key in outputs if key.startswith(f"{there[0]}_")]
    shared = [name for name in names if all(_rows(outputs, split, name) == counts[split] for split in there) and _alike(outputs, there, name)]
    of_channels = {key: np.asarray(value) for key, value in {**(attributes or {}), **outputs}.items() if of_each_channel(key)}
    return MergedTrials(
        arrays={name: _restored(channels, name, order.merged({s: outputs[f"{s}_{name}"] for s in there})) for name in shared if name != "inds"},
        order=order,
        channels=channels,
        about={key: value[channels.place] for key, value in of_channels.items() if value.shape[:1] == channels.place.shape},
    )


def _restored(channels: ChannelOrder, name: str, values: np.ndarray) -> np.ndarray:
    """Values with their channels, if they have any, in the recording's order."""
    if name == "encod_data":
        return channels.restored_input(values)
    of_channels = name in _OF_CHANNELS or name.startswith(OF_DISTRIBUTION)
    return channels.restored(values) if of_channels and values.shape[2:] == channels.place.shape else values


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


def names_of(labels: np.ndarray, names: np.ndarray | None) -> np.ndarray | None:
    """The names of numbered conditions, if the recording lists them."""
    if names is None or labels.ndim != 1 or labels.dtype.kind not in "iuf" or np.ndim(names) != 1:
        return None
    at = labels.astype(np.int64)
    return names[at] if (at == labels).all() and at.min(initial=0) >= 0 and at.max(initial=0) < len(names) else None


def concatenated(merged: MergedTrials, bins: int) -> dict[str, np.ndarray]:
    """Every array (B, T, K) as one sequence (B T, K), trial after trial."""
    return {name: value.reshape(-1, value.shape[2]) for name, value in merged.arrays.items() if value.ndim == 3 and value.shape[1] == bins}
