"""Recordings in the layout, changed as a whole: wider bins, smoothed values, another split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Num

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.layout import CONDITION_KEYS, session_from_arrays
from lfads_core.data.session import Session, Split
from lfads_core.data.summary import holds_counts, summarise
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.counts import rebin, widening
from lfads_plugins_lab.recordings.merge import merge_session
from lfads_plugins_lab.recordings.options import MakeOptions, SplitOptions, check_options
from lfads_plugins_lab.recordings.split import split_trials
from lfads_plugins_lab.recordings.trialwise import conditions
from lfads_plugins_std.metrics.conditions import JITTER_KEY
from lfads_plugins_std.metrics.smooth import smooth

SUMMED = ("truth", "smoothed")
"""What rides along in the units of the data, per bin."""


def rebin_session(session: Session, bin_ms: float, reduce: Literal["sum", "mean"] | None = None) -> Session:
    """Make bins wider: data, truth and what was smoothed are summed (counts) or averaged, external inputs and every other signal averaged.

    ``reduce`` None sums counts and averages anything else. Bins after the last whole one are dropped; NaN within a bin makes it NaN.

    Raises:
        DataError: the width is unknown or no multiple, or the recording is chopped into windows.
    """
    where = str(session.path or session.name)
    if session.bin_ms is None:
        raise DataError(_no_width(where))
    if any("first_bin" in split.extras for split in session.splits.values()):
        raise DataError(f"{where}: is chopped into windows that must stay in place, so bins cannot become wider. Chop again with --bin {bin_ms:g}.")
    factor = widening(session.bin_ms, bin_ms, where)
    how = reduce or ("sum" if holds_counts(summarise(session)) else "mean")
    splits = {name: _rebinned(split, factor, how, where) for name, split in session.splits.items()}
    return replace(session, splits=splits, attributes={**session.attributes, "bin_ms": session.bin_ms * factor})


def _rebinned(split: Split, factor: int, how: Literal["sum", "mean"], where: str) -> Split:
    bins, seen = split.recon.shape[1], split.encod.shape[1]
    if factor > min(bins, seen) or (seen != bins and seen % factor):
        raise DataError(
            f"{where}: the {seen} bins read and the {bins} reconstructed must be whole new bins, got {factor} in each. Choose another width."
        )

    jitter = split.extras.get(JITTER_KEY)
    if jitter is not None and (jitter % factor).any():
        raise DataError(
            f"{where}: windows are moved by bins ('{JITTER_KEY}') that are no whole new ones, so bins cannot become wider. Make it again."
        )

    def changed(key: str, values: np.ndarray) -> np.ndarray:
        if key == JITTER_KEY:
            return values // factor
        if values.ndim != 3 or values.shape[1] != bins or values.dtype.kind not in "biuf":
            return values
        return rebin(values.astype(np.float64), factor, how if key in SUMMED else "mean").astype(np.float32)

    encod = rebin(split.encod, factor, how)
    return replace(
        split,
        encod=encod,
        recon=encod if split.recon is split.encod else rebin(split.recon, factor, how),
        external=rebin(split.external, factor, "mean"),
        extras={key: changed(key, values) for key, values in split.extras.items()},
    )


def smooth_session(session: Session, sigma_ms: float, *, in_place: bool = False) -> Session:
    """Carry along the reconstructed data convolved with a Gaussian, as ``smoothed``; or put it in place of the data.

    NaN has no weight; nothing is taken from beyond a trial's ends.

    Raises:
        DataError: the width of a bin is unknown.
    """
    if session.bin_ms is None:
        raise DataError(_no_width(str(session.path or session.name)))
    width = sigma_ms / session.bin_ms

    def smoothed(values: Num[np.ndarray, "B T N"]) -> Num[np.ndarray, "B T N"]:
        return smooth(values, width).astype(np.float32)

    splits: dict[str, Split] = {}
    for name, split in session.splits.items():
        recon = smoothed(split.recon)
        if in_place:
            splits[name] = replace(split, recon=recon, encod=recon if split.encod is split.recon else smoothed(split.encod))
        else:
            splits[name] = replace(split, extras={**split.extras, "smoothed": recon})
    return replace(session, splits=splits)


def split_again(session: Session, options: SplitOptions) -> Session:
    """Put all trials together in the order in which they were recorded, and split them anew.

    Trials without numbers (``<split>_inds``) are numbered as they stand: training, then validation, then test.

    Raises:
        DataError: a split would be empty.
        ConfigError: the options contradict one another.
    """
    check_options(MakeOptions(split=options))
    where = str(session.path or session.name)
    merged = merge_session(_numbered(session)).arrays
    trials = len(merged["inds"])
    columns = {key: values for key, values in merged.items() if values.shape == (trials,)}
    found = next((key for key in CONDITION_KEYS if key in columns), None)
    condition = None if found is None else conditions(where, columns, [found])
    rows = split_trials(where, trials, options, None if condition is None else condition[0], columns.get(options.column))
    per_trial = {key: values for key, values in merged.items() if key not in session.arrays and key != "split"}
    arrays = {f"{split}_{key}": values[at] for split, at in rows.items() for key, values in per_trial.items()}
    return session_from_arrays(session.name, {**session.arrays, **arrays}, session.attributes)


def _numbered(session: Session) -> Session:
    if all("inds" in split.extras for split in session.splits.values()):
        first = {name: {k: v for k, v in split.extras.items() if k != "first_bin"} for name, split in session.splits.items()}
        return replace(session, splits={name: replace(split, extras=first[name]) for name, split in session.splits.items()})
    done, splits = 0, {}
    for name, split in session.splits.items():
        splits[name] = replace(split, extras={**split.extras, "inds": np.arange(done, done + split.trials)})
        done += split.trials
    return replace(session, splits=splits)


def read_whole(path: Path) -> Session:
    """A recording in the layout, with any of the splits."""
    return read_hdf5(path, required=())


def _no_width(where: str) -> str:
    return f"{where}: the width of a bin must be known, got no attribute 'bin_ms'. Say it, such as: lfads data set {where} bin_ms=10"
