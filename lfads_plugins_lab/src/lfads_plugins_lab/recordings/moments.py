"""Moments within trials: which columns of the table hold them, and where they lie in a window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.options import WindowOptions
from lfads_plugins_lab.recordings.raw import Trials
from lfads_plugins_lab.recordings.trialwise import safe_key
from lfads_plugins_lab.recordings.windows import Windows, unknown


def moments_within(trials: Trials, windows: Windows, scale: float, window: WindowOptions, width: float) -> dict[str, Float[np.ndarray, " B"]]:
    """Milliseconds from the beginning of each window to what happens in its trial, by the column's name.

    A column holds moments if at least half of its numbers lie within their own trials; where a trial has none it is NaN. Times that
    count from the start of a trial are told from other small numbers by being no whole ones.
    """
    start, stop = trials.start[windows.trial], trials.stop[windows.trial]
    begin, end = windows.starts / scale, (windows.starts + windows.bins * width) / scale  # where a trial does not say
    found: dict[str, np.ndarray] = {}
    for name, column in trials.columns.items():
        if column.dtype.kind not in "iuf" or f"{name}_ms" in trials.columns:
            continue
        values = column[windows.trial].astype(np.float64)
        known = np.isfinite(values)
        if window.from_start:
            if name != window.event and (values[known] == np.rint(values[known])).all():
                continue
            values = values + start
        else:
            values = values - trials.origin
        inside = (values >= np.where(np.isnan(start), begin, start)) & (values <= np.where(np.isnan(stop), np.fmax(end, start), stop))
        if known.any() and inside.sum() >= 0.5 * known.sum():
            found[name] = (values * scale - windows.starts) * 1000
    return found


def of_trials(
    trials: Trials, windows: Windows, scale: float, window: WindowOptions, width: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What a file says of when its trials were: arrays with a row for each window, and arrays of the session.

    ``trial_start_s`` and ``trial_stop_s`` are on the clock of the recording, ``<event>_ms`` counts from the beginning of the window;
    ``event_names`` lists these, the one that windows are aligned to first.
    """
    on_clock = {"trial_start_s": trials.start, "trial_stop_s": trials.stop}
    rows = {key: (values[windows.trial] + trials.origin) * scale for key, values in on_clock.items()}
    if windows.first_bin is not None:
        return rows, {}
    if windows.jitter is not None:
        rows["jitter"] = windows.jitter
    moments = moments_within(trials, windows, scale, window, width)
    names = sorted(moments, key=lambda name: name != window.event)
    rows |= {f"{safe_key(name)}_ms": moments[name] for name in names}
    return rows, {"event_names": np.array([safe_key(name) for name in names], dtype=object)} if names else {}


def decoding_groups(
    where: str, columns: Mapping[str, Shaped[np.ndarray, " B"]], name: str, splits: Mapping[str, Int[np.ndarray, " _"]]
) -> tuple[Bool[np.ndarray, "B G"], Shaped[np.ndarray, " G"]]:
    """Trials that are decoded together, a column of ones for each value; trials without a value belong to no group.

    Raises:
        DataError: the column is not there, or a group has no trial for training or for validation.
    """
    if (column := columns.get(name)) is None:
        raise DataError(unknown(where, "what trials are decoded within must be one of their columns", name, list(columns)))
    text = np.array([_shown(value) for value in column.tolist()], dtype=object)
    names = tuple(sorted({name for name in text.tolist() if name}))
    if not names:
        raise DataError(f"{where}: what trials are decoded within must have values, got none. Choose another column.")
    mask = text[:, None] == np.array(names, dtype=object)[None, :]
    for split, rows in splits.items():
        if split != "test" and (empty := ~mask[rows].any(axis=0)).any():
            raise DataError(
                f"{where}: each group that is decoded by itself must have trials in the split '{split}', got none for "
                f"{names[int(np.flatnonzero(empty)[0])]!r}. Make it a --condition, which splits are stratified by, or choose another column."
            )
    return mask, np.array(names, dtype=object)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value).strip()
