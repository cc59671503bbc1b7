"""Where each window begins: around an event of every trial, or one after the other through the whole recording."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from lfads_core.errors import DataError
from lfads_core.wording import first_few
from lfads_plugins_lab.recordings.options import WindowOptions
from lfads_plugins_lab.recordings.raw import Raw, Trials, tidy_times

_EPSILON = 1e-6  # of a bin: what counts as the same time


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Windows of equal length."""

    starts: Float[np.ndarray, " B"]  # s
    bins: int
    trial: Int[np.ndarray, " B"]  # row of the table of trials; -1 without one
    jitter: Int[np.ndarray, " B"] | None = None  # bins by which each begins later than it would without
    first_bin: Int[np.ndarray, " B"] | None = None  # within all segments put together, for chopped windows
    segments: Float[np.ndarray, "G 2"] | None = None  # start in s and number of bins of each segment that was chopped
    inside: Bool[np.ndarray, "B T"] | None = None  # bins that lie within the trial; None: all, or it does not matter
    notes: tuple[str, ...] = ()


def lay_windows(raw: Raw, options: WindowOptions, width: float, scale: float, kept: Bool[np.ndarray, " B"] | None = None) -> Windows:
    """Find the windows; ``width`` is that of a bin in seconds, ``scale`` the seconds in a unit of the source's times.

    ``kept`` says which trials are wanted; None: all.

    Raises:
        DataError: there are no trials, the event is unknown, or no window is left.
    """
    if options.chop_ms is not None:
        return _chopped(raw, options, width, scale, kept)
    if raw.trials is None:
        raise DataError(
            f"{raw.where}: needs trials to cut, got none. Give a table of trials (--trials), or chop the whole recording with `lfads data chop`."
        )
    return _aligned(raw.where, raw.trials, options, (width, scale), kept)


def with_ends(raw: Raw, options: WindowOptions, scale: float) -> Raw:
    """The same recording, whose trials have a start and a stop: where no column says them, a trial is its window around the event.

    Raises:
        DataError: it is not said where windows begin and end either.
    """
    trials = raw.trials
    if trials is None or not (np.isnan(trials.start).all() or np.isnan(trials.stop).all()):
        return raw
    if options.chop_ms is not None:
        raise DataError(
            f"{raw.where}: trials must have a start and a stop to be chopped, got none. Name the columns with --key start=NAME and stop=NAME."
        )
    if np.isnan(trials.start).all() and (options.event is None or options.from_start):
        shown = ", ".join(map(repr, trials.columns)) or "nothing"
        raise DataError(
            f"{raw.where}: must have a column with the start of each trial (start, start_time, trial_start...), got {shown}. Name it with --key "
            "start=NAME, or the column to align to with --event."
        )
    event = trials.start if options.event is None else _at(raw.where, trials, options)
    start = event - options.before_ms / 1000 / scale if np.isnan(trials.start).all() else trials.start
    stop = trials.stop
    if np.isnan(stop).all():
        if options.after_ms is None:
            raise DataError(
                f"{raw.where}: must have a column with the stop of each trial (stop, stop_time, end...), got none. Name it with --key stop=NAME, "
                "or say where windows end with --after."
            )
        stop = np.maximum(event + options.after_ms / 1000 / scale, np.nextafter(start, np.inf))
    return replace(raw, trials=replace(trials, start=start, stop=stop))


def _at(where: str, trials: Trials, options: WindowOptions) -> Float[np.ndarray, " B"]:
    """When the event of each trial is, in the unit and from the origin of the trials' starts."""
    if options.event is None:
        return trials.start.astype(np.float64)
    found = _column(where, trials, options.event, from_start=options.from_start)
    return found + trials.start if options.from_start else found


def _aligned(where: str, trials: Trials, options: WindowOptions, widths: tuple[float, float], kept: Bool[np.ndarray, " B"] | None) -> Windows:
    width, scale = widths
    start, stop = trials.start * scale, trials.stop * scale
    event = _at(where, trials, options) * scale
    notes: list[str] = []
    usable = np.isfinite(event) & (np.isfinite(stop) | (options.beyond == "keep"))  # a stop is only needed where it decides
    if not usable.all():
        what = " and ".join(["'start'" if options.event is None else f"'{options.event}'", *(["stop"] if options.beyond != "keep" else [])])
        notes.append(f"{int((~usable).sum())} of {usable.size} trials have no {what}: left out.")
    usable &= True if kept is None else kept
    whole = usable & np.isfinite(start) & np.isfinite(stop)
    if (stop[whole] <= start[whole]).any():
        first = int(np.flatnonzero(whole & ~(stop > start))[0])
        raise DataError(f"{where}: trials must stop after they start, got {start[first]:g} to {stop[first]:g} s in row {first}. Are columns swapped?")
    if not usable.any():
        raise DataError(f"{where}: must have trials with the event, got none. Choose another event.")
    before = _whole_bins(options.before_ms / 1000, width, "before", where)
    after = _after(where, options, (stop - event)[usable], width, notes)
    bins = before + after
    if bins < 1:
        raise DataError(f"{where}: windows must hold at least one bin of {width * 1000:g} ms, got {bins}. Give --after.")
    moved = _jitter(where, options, width, event.size)
    begin = event + ((0 if moved is None else moved) - before) * width
    _refuse_elsewhere(where, options.event, np.stack([event, begin, begin + bins * width, start, stop])[:, whole], np.flatnonzero(whole))
    usable, inside = _beyond(options, begin, bins, width, (start, stop), usable, notes)
    rows = np.flatnonzero(usable)
    if not rows.size:
        raise DataError(f"{where}: at least one trial must fill its window of {bins * width * 1000:g} ms, got none. Make it shorter.")
    if options.overlaps == "refuse":
        _refuse_overlaps(where, begin[rows], bins * width, rows)
    inside, moved = (None if values is None else values[rows] for values in (inside, moved))
    return Windows(starts=begin[rows], bins=bins, trial=rows, jitter=moved, inside=inside, notes=tuple(notes))


def _jitter(where: str, options: WindowOptions, width: float, trials: int) -> Int[np.ndarray, " B"] | None:
    """Whole bins, evenly spread over both directions."""
    most = _whole_bins(options.jitter_ms / 1000, width, "jitter", where)
    return None if most == 0 else np.random.default_rng(options.jitter_seed).integers(-most, most + 1, trials)


def _beyond(
    options: WindowOptions,
    begin: Float[np.ndarray, " b"],
    bins: int,
    width: float,
    trials: tuple[np.ndarray, np.ndarray],
    usable: Bool[np.ndarray, " b"],
    notes: list[str],
) -> tuple[Bool[np.ndarray, " b"], Bool[np.ndarray, "b T"] | None]:
    """Which trials are used, and which bins lie within them where that matters."""
    if options.beyond == "keep":
        return usable, None
    edges = begin[:, None] + np.arange(bins + 1) * width
    inside = (edges[:, :-1] >= trials[0][:, None] - _EPSILON * width) & (edges[:, 1:] <= trials[1][:, None] + _EPSILON * width)
    if options.beyond == "nan":
        return usable, inside
    short = usable & ~inside.all(axis=1)
    if short.any():
        notes.append(f"{int(short.sum())} of {usable.size} trials do not fill their windows: left out.")
    return usable & ~short, None


def _after(where: str, options: WindowOptions, lasting: Float[np.ndarray, " b"], width: float, notes: list[str]) -> int:
    """Bins after the event: as said, or as the shortest trial has."""
    if options.after_ms is not None:
        return _whole_bins(options.after_ms / 1000, width, "after", where)
    known = lasting[np.isfinite(lasting)]
    if not known.size:
        raise DataError(f"{where}: how long trials last must be known, got no stop of any trial with the event. Give --after.")
    after = int(_bins(where, known.min(), width) + _EPSILON)
    notes.append(f"windows end {after * width * 1000:g} ms after the event, as the shortest trial does.")
    if known.size < lasting.size:
        notes.append(f"{lasting.size - known.size} of {lasting.size} trials have no stop: they are taken to last as long as that, too.")
    return after


def _refuse_elsewhere(where: str, name: str | None, times: Float[np.ndarray, "5 b"], rows: Int[np.ndarray, " b"]) -> None:
    """Windows that mostly lie farther from their own trials than these are long: the event counts from somewhere else, or in another unit."""
    event, begin, end, start, stop = times
    length = stop - start
    away = np.flatnonzero((end < start - length) | (begin > stop + length))
    if 2 * away.size > rows.size:
        first = away[0]
        raise DataError(
            f"{where}: the event {name!r} must lie near its trial, got {away.size} of {rows.size} that are farther away than it is long, the first "
            f"in row {rows[first]}: {event[first]:.6g} s, in a trial from {start[first]:.6g} to {stop[first]:.6g} s. If it counts from the start of "
            "the trial, use --event-from-start; otherwise bring it to the clock and unit of the trials."
        )


def _refuse_overlaps(where: str, begin: Float[np.ndarray, " b"], length: float, rows: Int[np.ndarray, " b"]) -> None:
    order = np.argsort(begin, kind="stable")
    gaps = np.diff(begin[order]) - length
    shared = np.flatnonzero(gaps < -1e-9 - 1e-6 * length)
    if shared.size:
        one, two = rows[order[shared[0]]], rows[order[shared[0] + 1]]
        raise DataError(
            f"{where}: windows of different trials must not overlap, got {shared.size} that do, the first in rows {one} and {two} "
            f"({-gaps[shared[0]] * 1000:.3g} ms). Training and validation would share data: shorten the window, or allow it with --overlaps keep."
        )


def _chopped(raw: Raw, options: WindowOptions, width: float, scale: float, kept: Bool[np.ndarray, " B"] | None) -> Windows:
    window = _whole_bins((options.chop_ms or 0) / 1000, width, "chop", raw.where)
    overlap = _whole_bins(options.overlap_ms / 1000, width, "overlap", raw.where)
    notes: list[str] = []
    starts, firsts, trial, segments = [], [], [], []
    offset = short = 0
    found = _segments(raw, width, scale, kept)
    for row, begin, bins in found:
        if bins < window:
            short += 1
            continue
        first = first_bins(bins, window, overlap)
        starts.append(begin + first * width)
        firsts.append(first + offset)
        trial.append(np.full(first.size, row))
        segments.append((begin, float(bins)))
        offset += bins
    if not starts:
        raise DataError(
            f"{raw.where}: a window must fit into the recording, got {window} bins in at most {max((b for *_, b in found), default=0)}. Shorten it."
        )
    if short:
        notes.append(f"{short} of {len(found)} segments are shorter than a window: left out.")
    return Windows(
        starts=np.concatenate(starts),
        bins=window,
        trial=np.concatenate(trial).astype(np.int64),
        first_bin=np.concatenate(firsts).astype(np.int64),
        segments=np.array(segments, dtype=np.float64),
        notes=tuple(notes),
    )


def first_bins(bins: int, window: int, overlap: int) -> Int[np.ndarray, " W"]:
    """First bin of each window over ``bins`` bins; the last ends with the recording, and so may share more with the one before."""
    first = np.arange(0, bins - window + 1, window - overlap)
    return first if first[-1] == bins - window else np.append(first, bins - window)


def _segments(raw: Raw, width: float, scale: float, kept: Bool[np.ndarray, " B"] | None) -> list[tuple[int, float, int]]:
    """Row of the trial (-1 without), start in s, and number of bins, of everything that is chopped."""
    if raw.trials is not None:
        start, stop = raw.trials.start * scale, raw.trials.stop * scale
        known = np.flatnonzero(np.isfinite(start) & np.isfinite(stop) & (True if kept is None else kept))
        return [(int(row), float(start[row]), int(_bins(raw.where, stop[row] - start[row], width) + _EPSILON)) for row in known]
    if raw.signal is not None:
        return [(-1, raw.signal.start, int(_bins(raw.where, len(raw.signal.values) * raw.signal.bin_ms / 1000, width) + _EPSILON))]
    times = [tidy_times(raw.where, f"channel {name}", t)[0] for name, t in raw.units.items() if t.size]
    ends = [(float(t[0]) * scale, float(t[-1]) * scale) for t in times]
    if not ends:
        raise DataError(f"{raw.where}: must hold events, got none. Check the file.")
    begin = np.floor(min(a for a, _ in ends) / width) * width
    return [(-1, float(begin), int(_bins(raw.where, max(b for _, b in ends) - begin, width)) + 1)]


def _bins(where: str, seconds: float, width: float) -> float:
    """How many bins so long a time has; below 0 where it goes backwards."""
    bins = float(seconds) / width
    if not bins < 2**53:
        raise DataError(f"{where}: windows must have so few bins that they can be counted, got {bins:.3g} of {width * 1000:g} ms. Mend the times.")
    return bins


def _whole_bins(seconds: float, width: float, name: str, where: str) -> int:
    bins = _bins(where, seconds, width)
    if abs(bins - round(bins)) > 1e-6:
        near = " or ".join(f"{count * width * 1000:g}" for count in (np.floor(bins), np.ceil(bins)) if count)
        raise DataError(f"{where}: --{name} must be whole bins of {width * 1000:g} ms, got {seconds * 1000:g} ms. Take {near}.")
    return round(bins)


def _column(where: str, trials: Trials, name: str, *, from_start: bool) -> Float[np.ndarray, " B"]:
    """Times of an event, from the origin of the trials' starts or, where the table counts so, from these starts."""
    if name in ("start", "stop"):
        return trials.start if name == "start" else trials.stop
    if name not in trials.columns:
        raise DataError(unknown(where, "an event must be a column of the trials", name, ["start", "stop", *trials.columns]))
    values = trials.columns[name]
    if values.dtype.kind not in "iuf":
        what = "truth values" if values.dtype.kind == "b" else "text"
        raise DataError(f"{where}: the event '{name}' must hold times, got {what} such as {str(values[0])!r}. Choose another column.")
    return (values - (0 if from_start else int(trials.origin))).astype(np.float64)


def unknown(where: str, must: str, name: str, known: Sequence[str]) -> str:
    """A sentence about a name that is not there, with what comes near it."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{where}: {must}, got {name!r}.{hint} There is {first_few([*map(repr, known)], 20) or 'nothing'}."
