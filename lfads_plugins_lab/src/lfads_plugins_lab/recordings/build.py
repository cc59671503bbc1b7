"""A raw recording, cut as the options say, as the arrays of one HDF5 file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from lfads_core.data.checks import Problem
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.write import compact
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.clock import coarse, near_zero, odd_width, resolution, seconds_per_unit
from lfads_plugins_lab.recordings.counts import rebin, widening
from lfads_plugins_lab.recordings.cutting import cut_values, few
from lfads_plugins_lab.recordings.hold import Held, hold_out
from lfads_plugins_lab.recordings.keep import wanted
from lfads_plugins_lab.recordings.moments import decoding_groups, of_trials
from lfads_plugins_lab.recordings.options import MakeOptions, Reduce, check_options
from lfads_plugins_lab.recordings.raw import Cut, Raw, Uneven
from lfads_plugins_lab.recordings.signals import dimensions_of, series_in_bins, with_meanings
from lfads_plugins_lab.recordings.split import split_notes, split_trials
from lfads_plugins_lab.recordings.trialwise import condition_columns, conditions, safe_key
from lfads_plugins_lab.recordings.uneven import in_a_row
from lfads_plugins_lab.recordings.windows import Windows, lay_windows, unknown, with_ends
from lfads_plugins_std.metrics.smooth import smooth

DEFAULT_BIN_MS = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """One file, and what there is to say about it."""

    arrays: Mapping[str, np.ndarray]  # by key of the layout
    attributes: Mapping[str, Any]
    problems: tuple[Problem, ...]  # warnings and notes


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trialled:
    """Trials of equal bins, before they are split."""

    where: str
    values: Float[np.ndarray, "B T N"]
    bin_ms: float
    names: tuple[str, ...]
    columns: Mapping[str, Shaped[np.ndarray, " B"]]  # the table of trials
    per_trial: Mapping[str, Shaped[np.ndarray, "B ..."]]
    about: Mapping[str, Shaped[np.ndarray, " N"]]
    whole: Mapping[str, np.ndarray]  # of the session
    attributes: Mapping[str, Any]


def make(source: Raw | Cut | Uneven, options: MakeOptions | None = None) -> Made:
    """Cut, bin, split and hold out.

    Raises:
        ConfigError: the options contradict one another or the source.
        DataError: the source is at fault, or nothing is left of it.
    """
    options = options or MakeOptions()
    check_options(options)
    if isinstance(source, Uneven):
        source = in_a_row(source, options)
        options = replace(options, window=replace(options.window, from_start=options.window.event is not None))
    source, kept, notes = wanted(source, options)
    problems = [Problem(severity="info", text=text) for text in (*source.notes, *notes)]
    trialled = _from_raw(source, kept, options, problems) if isinstance(source, Raw) else _from_cut(source, kept, options, problems)
    if isinstance(source, Cut) and (text := odd_width(trialled.values, trialled.bin_ms)) is not None:
        _say(problems, "warning", text)
    trialled = _without_quiet(trialled, options.min_rate_hz, problems)
    missing = int(np.isnan(trialled.values).sum())
    if missing:
        _say(
            problems,
            "warning",
            f"{missing} of {trialled.values.size} values are NaN, not observed: train with 'sbtt' (or the recipe 'zig').",
        )
    held = hold_out(trialled.where, trialled.names, trialled.about, options.hold_out, trialled.bin_ms, trialled.values.shape[1])
    attributes = {"bin_ms": trialled.bin_ms, **trialled.attributes}
    if names := condition_columns(trialled.columns, options.condition):
        attributes["condition_columns"] = ", ".join(names)
    made = Made(
        arrays=_arrays(trialled, held, options, problems),
        attributes=attributes,
        problems=tuple(problems),
    )
    session_from_arrays(trialled.where, made.arrays, made.attributes, required=())  # what is written can be read
    return made


def _say(problems: list[Problem], severity: Any, text: str) -> None:
    problems.append(Problem(severity=severity, text=text))


def _from_raw(raw: Raw, kept: Bool[np.ndarray, " B"] | None, options: MakeOptions, problems: list[Problem]) -> _Trialled:
    if not raw.channels:
        raise DataError(f"{raw.where}: must hold at least one channel, got none. Check which arrays hold the events.")
    raw = _with_width(raw, options.bin_ms)
    scale, found = seconds_per_unit(raw, options.clock)
    problems += found
    raw = with_ends(raw, options.window, scale)
    bin_ms = options.bin_ms or (raw.signal.bin_ms if raw.signal is not None else DEFAULT_BIN_MS)
    digits = resolution(raw, scale)
    if (text := coarse(raw, scale, bin_ms)) is not None:
        _say(problems, "warning", text)
    raw = near_zero(raw, scale)
    windows = lay_windows(raw, options.window, bin_ms / 1000, scale, kept)
    for note in windows.notes:
        _say(problems, "info", note)
    if options.window.overlap_ms and options.split.by in ("random", "every"):
        _say(problems, "warning", "overlapping windows share data between training and validation. Keep them apart in time: --last.")
    values = cut_values(raw, windows, bin_ms, scale, options.reduce, partial(_say, problems), digits)
    if windows.inside is not None:
        values = np.where(windows.inside[..., None], values, np.nan)
    elif options.unobserved == "drop":
        values, windows = _only_observed(raw.where, values, windows, problems)
    per_trial: dict[str, np.ndarray] = {"inds": np.arange(len(windows.starts)) if windows.first_bin is not None else windows.trial}
    per_trial["start_s"] = windows.starts + raw.origin * scale
    whole: dict[str, np.ndarray] = {}
    if windows.first_bin is not None and windows.segments is not None:
        per_trial["first_bin"] = windows.first_bin
        whole = {"segment_start_s": windows.segments[:, 0] + raw.origin * scale, "segment_bins": windows.segments[:, 1].astype(np.int64)}
    per_trial.update(series_in_bins(raw, windows, options, bin_ms / 1000, scale, partial(_say, problems)))
    columns: dict[str, np.ndarray] = {}
    if raw.trials is not None:
        columns = {key: column[windows.trial] for key, column in raw.trials.columns.items()}
        rows, more = of_trials(raw.trials, windows, scale, options.window, bin_ms / 1000)
        per_trial, whole = {**rows, **per_trial}, {**whole, **more}
    whole.update(dimensions_of(raw.series, options.behaviour))
    if not raw.one_clock:
        per_trial = {key: rows for key, rows in per_trial.items() if key not in ("start_s", "trial_start_s", "trial_stop_s")}
    return _Trialled(
        where=raw.where,
        values=values,
        bin_ms=bin_ms,
        names=raw.channels,
        columns=columns,
        per_trial=per_trial,
        about=raw.about,
        whole=whole,
        attributes=_said(raw, options, per_trial),
    )


def _with_width(raw: Raw, bin_ms: float | None) -> Raw:
    """Samples of which the source does not say how wide they are have the width that is asked for."""
    if raw.signal is None or not math.isnan(raw.signal.bin_ms):
        return raw
    if bin_ms is None:
        raise DataError(
            f"{raw.where}: the width of a bin must be known to cut a long recording, got no 'bin_ms'. "
            "Give it with --bin, or name it with --key bin_ms=NAME (ms) or --key rate=NAME (bins per second)."
        )
    return replace(raw, signal=replace(raw.signal, bin_ms=bin_ms))


def _said(raw: Raw, options: MakeOptions, carried: Collection[str]) -> dict[str, Any]:
    """What the file says of itself: where trials are aligned, names and units of what rides along."""
    attributes: dict[str, Any] = {"first_bin_ms": 0.0 - options.window.before_ms, "data_unit": "units of the source" if raw.signal else "events/bin"}
    if options.window.event is not None:
        attributes["aligned_to"] = options.window.event
    if options.behaviour:
        attributes["behavior_names"] = ", ".join(options.behaviour)
        attributes["behavior_units"] = ", ".join(raw.series[name].unit or "unknown" for name in options.behaviour)
    if options.external:
        attributes["ext_input_names"] = ", ".join(options.external)
    attributes.update({f"{safe_key(name)}_unit": series.unit for name, series in raw.series.items() if series.unit and safe_key(name) in carried})
    return attributes


def _only_observed(where: str, values: Float[np.ndarray, "B T N"], windows: Windows, problems: list[Problem]) -> tuple[np.ndarray, Windows]:
    seen = ~np.isnan(values).any(axis=(1, 2))
    if seen.all():
        return values, windows
    if not seen.any():
        raise DataError(f"{where}: every channel must be recorded in at least one window, got none. Use --unobserved nan, or leave channels out.")
    _say(problems, "info", f"{int((~seen).sum())} of {seen.size} windows hold bins in which a channel was not recorded: left out.")
    first = None if windows.first_bin is None else windows.first_bin[seen]
    jitter = None if windows.jitter is None else windows.jitter[seen]
    return values[seen], replace(windows, starts=windows.starts[seen], trial=windows.trial[seen], first_bin=first, jitter=jitter)


def _from_cut(cut: Cut, kept: Bool[np.ndarray, " B"] | None, options: MakeOptions, problems: list[Problem]) -> _Trialled:
    w = options.window
    if w.event is not None or w.before_ms or w.after_ms is not None or w.chop_ms is not None:
        raise DataError(f"{cut.where}: holds trials of equal bins already, so there is nothing to align or to chop. Leave these options out.")
    factor, have = _factor(cut, options)
    bins = cut.values.shape[1]
    if bins % factor:
        _say(problems, "info", f"the last {bins % factor} of {bins} bins do not fill a new one: left out.")
    per_trial, columns = {}, {}
    rows = np.arange(len(cut.values)) if kept is None else np.flatnonzero(kept)
    for key, array in ((key, values[rows]) for key, values in cut.per_trial.items()):
        if array.ndim == 1:
            columns[key] = array
        elif array.ndim == 3 and array.dtype.kind in "biuf":
            per_trial[key] = _to_bins(cut.where, key, array, bins, factor, options.reduce if key == "truth" else "mean")
        else:
            per_trial[key] = array
    return _Trialled(
        where=cut.where,
        values=rebin(cut.values[rows], factor, options.reduce),
        bin_ms=have * factor,
        names=cut.names,
        columns=columns,
        per_trial={"inds": rows, **with_meanings(cut.where, per_trial, options)},
        about=cut.about,
        whole={},
        attributes={},
    )


def _factor(cut: Cut, options: MakeOptions) -> tuple[int, float]:
    """How many of the source's bins make a new one, and their width in ms."""
    have = cut.bin_ms or options.bin_ms
    if have is None:
        raise DataError(f"{cut.where}: the width of a bin must be known, got no 'bin_ms'. Give it with --bin.")
    factor, bins = widening(have, options.bin_ms or have, cut.where), cut.values.shape[1]
    if factor > bins:
        raise DataError(f"{cut.where}: new bins must fit into trials of {bins} bins, got {factor} bins each. Choose narrower ones.")
    return factor, have


def _to_bins(where: str, key: str, array: Shaped[np.ndarray, "B S _"], bins: int, factor: int, reduce: Reduce) -> Float[np.ndarray, "B T _"]:
    """A signal of each trial, brought to the bins of the data where it is sampled faster."""
    samples = array.shape[1]
    if samples % bins:
        raise DataError(
            f"{where}: '{key}' must have whole numbers of samples in each of {bins} bins, got {samples} samples. "
            "It is sampled at another rate: bring it to a multiple of the bins first."
        )
    return rebin(array.astype(np.float64), samples // bins * factor, reduce)


def _without_quiet(made: _Trialled, min_rate_hz: float, problems: list[Problem]) -> _Trialled:
    """Leave out channels below the lowest rate, and speak of those that never do anything."""
    observed = ~np.isnan(made.values)
    total = np.where(observed, made.values, 0.0).sum(axis=(0, 1))
    seconds = observed.sum(axis=(0, 1)) * made.bin_ms / 1000
    rate = np.divide(total, seconds, out=np.zeros(len(made.names)), where=seconds > 0)
    keep = (rate >= min_rate_hz) | (min_rate_hz == 0)  # signals of both signs have no rates
    if not keep.any():
        raise DataError(f"{made.where}: at least one channel must have {min_rate_hz:g} events/s, got at most {rate.max():.3g}. Lower --min-rate.")
    if not keep.all():
        _say(problems, "info", f"{_few(made.names, ~keep)} of {keep.size}: fewer than {min_rate_hz:g} events/s in the windows, left out.")
    elif (silent := ~(observed & (made.values != 0)).any(axis=(0, 1))).any():
        _say(
            problems,
            "warning",
            f"{_few(made.names, silent)} of {keep.size}: no event in any window. --min-rate 0.01 leaves such channels out.",
        )
    rows = np.flatnonzero(keep)
    return replace(
        made,
        values=made.values[:, :, rows],
        names=tuple(made.names[i] for i in rows),
        per_trial=_of_channels(made, rows),
        about={key: values[rows] for key, values in made.about.items()},
    )


def _of_channels(made: _Trialled, rows: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """True rates follow the channels that they are of."""
    truth = made.per_trial.get("truth")
    fits = truth is not None and truth.ndim == 3 and truth.shape[2] == len(made.names)
    return {key: values[:, :, rows] if key == "truth" and fits else values for key, values in made.per_trial.items()}


def _few(names: Sequence[str], chosen: np.ndarray) -> str:
    return few([name for name, taken in zip(names, chosen.tolist(), strict=True) if taken])


def _arrays(made: _Trialled, held: Held, options: MakeOptions, problems: list[Problem]) -> dict[str, np.ndarray]:
    condition = conditions(made.where, made.columns, options.condition)
    said = made.columns.get(options.split.column)
    if options.split.by == "column" and said is None:
        raise DataError(unknown(made.where, "the split must be a column of the trials", options.split.column, list(made.columns)))
    splits = split_trials(made.where, len(made.values), options.split, None if condition is None else condition[0], said)
    problems += split_notes(splits, len(made.values))
    width = options.smooth_ms / made.bin_ms
    per_trial = {**{safe_key(key): column for key, column in made.columns.items()}, **_of_channels(made, held.order)}
    whole = dict(made.whole)
    if condition is not None:
        per_trial["cond"], whole["cond_names"] = condition[0], np.array(condition[1], dtype=object)
        if nameless := int(np.isin(condition[0], [k for k, name in enumerate(condition[1]) if name in ("nan", "None", "")]).sum()):
            _say(problems, "info", f"{nameless} of {len(made.values)} trials have no condition: they make one of their own.")
    if options.decode_within is not None:
        per_trial["decode_mask"], whole["decode_groups"] = decoding_groups(made.where, made.columns, options.decode_within, splits)
    arrays: dict[str, np.ndarray] = {}
    for split, rows in splits.items():
        values = made.values[rows][:, :, held.order]
        recon = compact(values)
        arrays[f"{split}_encod_data"] = recon[:, : held.bins, : held.n_in]
        if held.anything:
            arrays[f"{split}_recon_data"] = recon
        if options.smooth_ms:
            arrays[f"{split}_smoothed"] = smooth(values, width).astype(np.float32)
        arrays.update({f"{split}_{key}": _stored(array[rows]) for key, array in per_trial.items()})
    arrays.update(whole)
    arrays["channel_names"] = np.array([made.names[i] for i in held.order], dtype=object)
    arrays.update({f"channel_{safe_key(key)}": _stored(values[held.order]) for key, values in made.about.items()})
    if held.anything:
        arrays["channel_order"] = held.order
    return arrays


def _stored(values: np.ndarray) -> np.ndarray:
    """Text as h5py writes it; signals in single precision, times and numbers of each trial as they are."""
    if values.dtype.kind in "UO":
        return np.array([str(value) for value in values.ravel().tolist()], dtype=object).reshape(values.shape)
    return values.astype(np.float32) if values.ndim == 3 else values
