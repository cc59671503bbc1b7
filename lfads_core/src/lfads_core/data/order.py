"""The recording's own order of trials and channels, whatever splits and held-out channels have made of it.

Both functions take arrays under the keys of a file: those of an output file (``LoadedRun.outputs()``), or of a session in memory
(:func:`lfads_core.data.layout.session_arrays`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

from lfads_core.data.layout import agreement
from lfads_core.data.legacy import SPLITS
from lfads_core.errors import DataError

TRIAL_NUMBERS = ("inds", "trial_inds", "trial_index", "trial_id", "first_bin")
"""Names under which the place of a trial in the recording is looked for, without the split's prefix; the last is that of a window."""

CHANNEL_NAMES = ("channels", "channel_names")
"""File attributes and arrays that name channels."""

OF_CHANNELS = ("truth", "smoothed")
"""What rides along with a split, without its prefix, and has the channels of its data as last axis."""

CHANNEL_ORDER = "channel_order"
"""Array of a file or of outputs: index in the recording of each channel of data and outputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialOrder:
    """Where the trials of all splits stood in the recording."""

    splits: tuple[str, ...]  # as they are put one after another
    rows: Int[np.ndarray, " B"]  # of the splits put one after another, that of each trial in the recording's order
    trial: Int[np.ndarray, " B"]  # the recording's number of each trial, rising
    split: Shaped[np.ndarray, " B"]  # name of the split each trial is in
    key: str | None  # what said so, without the split's prefix; None: nothing did, and one split follows the other

    def merged(self, parts: Mapping[str, Shaped[np.ndarray, "b ..."]]) -> Shaped[np.ndarray, "B ..."]:
        """Each split's rows as one array in the recording's order."""
        whole: np.ndarray = np.concatenate([parts[split] for split in self.splits])
        merged: np.ndarray = whole[self.rows]
        return merged


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelOrder:
    """Where the channels that a model reconstructs stood in the recording."""

    place: Int[np.ndarray, " N"]  # of each channel of the recording, its index in data and outputs
    held_out: Bool[np.ndarray, " N"]  # in the recording's order: not among what the encoders read
    seen: Int[np.ndarray, " Ne"]  # of each channel that the encoders read, in the recording's order, its index in their input

    def restored(self, values: Shaped[np.ndarray, "*any N"]) -> Shaped[np.ndarray, "*any N"]:
        """Values with a last axis of all channels, in the recording's order."""
        return np.take(values, self.place, axis=-1)

    def restored_input(self, values: Shaped[np.ndarray, "*any Ne"]) -> Shaped[np.ndarray, "*any Ne"]:
        """The encoders' input, with its channels in the recording's order."""
        return np.take(values, self.seen, axis=-1)


def trial_order(arrays: Mapping[str, np.ndarray], where: str = "outputs") -> TrialOrder:
    """Find the recording's order of trials: by the first of :data:`TRIAL_NUMBERS` that every split has, as one whole number a trial.

    Raises:
        DataError: there is no split, or a number stands twice.
    """
    counts = {split: len(rows) for split in SPLITS if (rows := _data(arrays, split)) is not None}
    if not counts:
        raise DataError(f"{where}: must hold '<split>_encod_data' (trials, bins, channels), got none. Make them with `lfads infer`.")
    total = sum(counts.values())
    split = np.repeat(list(counts), list(counts.values()))
    key = next((key for key in TRIAL_NUMBERS if all(_numbers(arrays.get(f"{s}_{key}"), count) for s, count in counts.items())), None)
    if key is None:
        return TrialOrder(splits=tuple(counts), rows=np.arange(total), trial=np.arange(total), split=split, key=None)
    trial = np.concatenate([np.asarray(arrays[f"{s}_{key}"]).reshape(-1) for s in counts]).astype(np.int64)
    if len(np.unique(trial)) != total:
        raise DataError(f"{where}: '<split>_{key}' must name every trial once over all splits, got some twice. Mend them in the recording.")
    rows = np.argsort(trial)
    return TrialOrder(splits=tuple(counts), rows=rows, trial=trial[rows], split=split[rows], key=key)


def channel_order(arrays: Mapping[str, np.ndarray], where: str = "outputs") -> ChannelOrder:
    """Find the recording's order of the channels to reconstruct, and which of them the encoders do not read.

    ``channel_order`` says it; without one, data stand in the recording's order. A file whose input has fewer channels than its
    target holds out the last ones; where the input is another modality all are held out.

    Raises:
        DataError: there is no split, or ``channel_order`` does not name each channel once.
    """
    split = next((split for split in SPLITS if _data(arrays, split) is not None), None)
    if split is None:
        raise DataError(f"{where}: must hold '<split>_encod_data' (trials, bins, channels), got none. Make them with `lfads infer`.")
    recon = arrays.get(f"{split}_recon_data", arrays.get(f"{split}_encod_data"))
    if recon is None:  # outputs without their data
        recon = arrays[f"{split}_output_params"]
    encod = arrays.get(f"{split}_encod_data", recon)
    width, channels = encod.shape[2], recon.shape[2]
    nested = encod is recon or agreement(encod, recon).nested
    unseen = np.arange(channels) >= (width if nested else 0)
    if (order := arrays.get(CHANNEL_ORDER)) is None:
        return ChannelOrder(place=np.arange(channels), held_out=unseen, seen=np.arange(width))
    order = np.asarray(order).reshape(-1)
    if order.dtype.kind not in "iu" or not np.array_equal(np.sort(order), np.arange(channels)):
        raise DataError(f"{where}: '{CHANNEL_ORDER}' must name each of {channels} channels once, from 0, got {first(order)}. Mend or delete it.")
    place = np.argsort(order)
    return ChannelOrder(place=place, held_out=unseen[place], seen=np.argsort(order[:width]) if nested else np.arange(width))


def of_each_channel(key: str) -> bool:
    """Whether an attribute or array of this name, without a split's prefix, says something of each channel, in the order of the data."""
    return key != CHANNEL_ORDER and (key in CHANNEL_NAMES or key.startswith("channel_"))


def first(values: np.ndarray) -> str:
    """An array in few words."""
    return np.array2string(values, threshold=8, separator=", ")


def _data(arrays: Mapping[str, np.ndarray], split: str) -> np.ndarray | None:
    return next((arrays[key] for what in ("output_params", "encod_data") if (key := f"{split}_{what}") in arrays), None)


def _numbers(values: np.ndarray | None, trials: int) -> bool:
    """Whether this is one whole number for each trial."""
    if values is None or np.asarray(values).dtype.kind not in "iuf" or np.size(values) != trials or np.shape(values)[:1] != (trials,):
        return False
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())
