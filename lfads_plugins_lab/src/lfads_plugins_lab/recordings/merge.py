"""Splits back into one: chopped windows into a continuous recording, trials into the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from lfads_core.data.bounds import spoken_reading
from lfads_core.data.hdf5 import attributes_of, opened, read_hdf5
from lfads_core.data.layout import session_arrays
from lfads_core.data.legacy import SPLITS
from lfads_core.data.order import TRIAL_NUMBERS
from lfads_core.data.session import Session
from lfads_core.data.write import write_layout
from lfads_core.errors import DataError
from lfads_core.output_file import OutputFile
from lfads_plugins_lab.recordings.overlap import Blend, merge


@dataclass(frozen=True, kw_only=True, eq=False)
class Merged:
    """A recording that is in one piece again."""

    arrays: Mapping[str, np.ndarray]  # without a split's prefix
    attributes: Mapping[str, Any]
    units: Mapping[str, Mapping[str, Any]]  # attributes of arrays, such as their unit
    continuous: bool
    uncovered: int  # bins that no window holds


def merge_session(session: Session, blend: Blend = "linear") -> Merged:
    """Bring everything that every split has into one array each.

    Chopped windows (``<split>_first_bin``) are blended bin by bin, see :func:`.overlap.merge`; what belongs to a whole window
    stays with it, as ``window_<key>``. Otherwise trials are put in the order of their numbers (``<split>_inds``), and
    ``split`` says where each was.

    Raises:
        DataError: the splits' trials have no numbers, or two have the same.
    """
    where = str(session.path or session.name)
    chopped = all("first_bin" in split.extras for split in session.splits.values())
    key = "first_bin" if chopped else next((k for k in TRIAL_NUMBERS if all(k in split.extras for split in session.splits.values())), None)
    if key is None:
        raise DataError(
            f"{where}: the number of each trial in the recording must be there as '<split>_inds' (trials), got none. "
            "Without it the order in which trials were recorded is not known."
        )
    numbers = np.concatenate([np.ravel(split.extras[key]) for split in session.splits.values()])
    unique, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        what = "windows begin at one bin" if chopped else "trials have the number"
        raise DataError(f"{where}: every trial must be in one split, got {counts.max()} {what} {unique[counts.argmax()]}. Mend '<split>_{key}'.")
    order = np.argsort(numbers, kind="stable")
    rows = _rows(session, order)
    split = np.repeat(list(session.splits), [s.trials for s in session.splits.values()])[order].astype(object)
    if chopped:
        arrays, uncovered = _continuous(session, rows, numbers[order].astype(np.int64), blend)
        arrays["window_split"] = split
    else:
        arrays, uncovered = {**rows, "split": split}, 0
    gone = ("time_ms",) if chopped else ()  # the time within a window
    whole = {k: values for k, values in session.arrays.items() if k not in (*arrays, *gone) and not k.startswith(tuple(f"{s}_" for s in SPLITS))}
    return Merged(arrays={**whole, **arrays}, attributes=session.attributes, units={}, continuous=chopped, uncovered=uncovered)


def merge_file(path: Path, output: Path, blend: Blend = "linear", *, overwrite: bool = False) -> Merged:
    """Merge a recording, or the outputs of a run, into a file of its own.

    Raises:
        DataError: see :func:`merge_session`; ``output`` is there already.
    """
    merged = merge_session(read_hdf5(path, dtype=np.float64, required=()), blend)
    with opened(path) as file, spoken_reading(path, "what its arrays say of themselves"):
        units = {key: _about(file[f"{split}_{key}"], path) for split in SPLITS for key in merged.arrays if f"{split}_{key}" in file}
    write_layout(output, merged.arrays, {**merged.attributes, "merged_from": path.name}, overwrite=overwrite)
    with OutputFile(output, "r+") as file:
        for key, about in units.items():
            file[key].attrs.update(about)
    return merged


def _about(dataset: Any, path: Path) -> dict[str, Any]:
    """Attributes that are texts or numbers."""
    return {key: value for key, value in attributes_of(dataset, path).items() if isinstance(value, str | int | float)}


def _rows(session: Session, order: Int[np.ndarray, " B"]) -> dict[str, Shaped[np.ndarray, "B ..."]]:
    """What every split has, one row for each trial, in order."""
    arrays = session_arrays(session)
    first, *others = session.splits
    keys = [key.removeprefix(f"{first}_") for key in arrays if key.startswith(f"{first}_")]
    common = [key for key in keys if all(f"{other}_{key}" in arrays for other in others)]
    trials = {name: split.trials for name, split in session.splits.items()}
    fitting = [key for key in common if all(len(arrays[f"{name}_{key}"]) == count for name, count in trials.items())]
    alike = [key for key in fitting if len({arrays[f"{name}_{key}"].shape[1:] for name in trials}) == 1]
    return {key: np.concatenate([arrays[f"{name}_{key}"] for name in trials])[order] for key in alike}


def _continuous(
    session: Session, rows: Mapping[str, Shaped[np.ndarray, "B ..."]], first: Int[np.ndarray, " B"], blend: Blend
) -> tuple[dict[str, np.ndarray], int]:
    data = next(iter(session.splits.values()))
    length = data.recon.shape[1]
    segments = session.arrays.get("segment_bins")
    bins = int(np.sum(segments)) if segments is not None else int(first.max()) + length
    arrays: dict[str, np.ndarray] = {}
    for key, values in rows.items():
        if values.ndim == 3 and values.shape[1] in (length, data.encod.shape[1]) and values.dtype.kind in "biuf":
            arrays[key] = merge(values, first, bins, blend)
        else:
            arrays[f"window_{key}"] = values
    covered = merge(np.ones((len(first), length)), first, bins, "uniform")
    if (width := session.bin_ms) is not None:
        starts = np.ravel(session.arrays.get("segment_start_s", np.zeros(1)))
        counts = np.ravel(segments) if segments is not None else np.array([bins])
        arrays["time_s"] = np.concatenate([start + np.arange(count) * width / 1000 for start, count in zip(starts, counts, strict=True)])
        arrays["segment"] = np.repeat(np.arange(len(counts)), counts)
    return arrays, int(np.isnan(covered).sum())
