"""The command that makes a raw recording into a file for training, with options guessed from what the recording holds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Num, Shaped

from lfads_core.errors import LfadsError
from lfads_plugins_lab.recordings.files import TABLES, SourceOptions, read_source
from lfads_plugins_lab.recordings.raw import Cut, Raw, Uneven

LARGEST = 500_000_000
"""Bytes of a file that is still read for its suggestions."""

_EVENTS = ("move_onset", "movement_onset", "onset", "go", "cue", "stim", "target", "response", "choice")
_OUTCOMES = ("success", "is_success", "successful", "correct", "is_correct", "rewarded", "hit")
_QUALITY = {"good", "single", "sua", "accept", "accepted"}
_BEHAVIOUR = r"vel|hand|cursor|pos|joint|angle|force|wheel|speed|eye"
_BEFORE_MS, _AFTER_MS, _STEP_MS = 200.0, 800.0, 10.0


def command_for(path: Path) -> str:
    """``lfads data make ...``, or ``lfads data chop`` where there are no trials; without options for a recording that cannot be read."""
    source, beside = _read(path) if path.stat().st_size <= LARGEST else (None, None)
    chopped = isinstance(source, Raw) and source.trials is None
    trials = [] if beside is None else ["--trials", str(beside)]
    words = ["lfads", "data", "chop" if chopped else "make", str(path), *trials, *_options(source), "-o", f"{path.stem}.h5"]
    return " ".join(map(_quoted, words))


def _read(path: Path) -> tuple[Raw | Cut | Uneven | None, Path | None]:
    """The recording; and the table of trials beside it, if it has none of its own and one file there is called so."""
    try:
        source = read_source(path)
    except LfadsError:
        return None, None
    if not isinstance(source, Raw) or source.trials is not None:
        return source, None
    tables = [file for file in sorted(path.parent.iterdir()) if file.suffix.lower() in TABLES and "trial" in file.stem.lower() and file != path]
    if len(tables) != 1:
        return source, None
    try:
        return read_source(path, SourceOptions(trials=tables[0])), tables[0]
    except LfadsError:
        return source, None


def _quoted(word: str) -> str:
    """A word for the shell; in double quotes where it has single ones and nothing that a shell reads within double ones."""
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


def _options(source: Raw | Cut | Uneven | None) -> Iterator[str]:
    if source is None:
        return
    for name, values in source.about.items():
        if good := [value for value in map(str, np.unique(values.astype(str)).tolist()) if value.lower() in _QUALITY]:
            yield from ("--units", f"{name} == {good[0]!r}")
            break
    if isinstance(source, Raw):
        if source.trials is None:
            yield from ("--window", "1000", "--overlap", "200", "--last")
            return
        yield from _success(source.trials.columns)
        yield from _window(source.trials.start, source.trials.stop, source.trials.columns)
        if (signal := _first(list(source.series), _BEHAVIOUR)) is not None:
            yield from ("--behaviour", signal)
        return
    yield from _success(
        {name: values for name, values in source.per_trial.items() if values.ndim == 1} if isinstance(source, Cut) else source.columns
    )
    if isinstance(source, Uneven) and source.bin_ms is not None:
        stops = np.array([len(trial) for trial in source.values]) * source.bin_ms / 1000
        yield from _window(np.zeros_like(stops), stops, source.columns)
    if source.bin_ms is None:
        yield from ("--bin", "WIDTH_IN_MS")


def _success(columns: Mapping[str, Shaped[np.ndarray, " B"]]) -> Iterator[str]:
    """The column that says whether a trial was one, unless all were."""
    for name, values in columns.items():
        if name.lower() in _OUTCOMES and values.dtype.kind in "biuf" and {*np.unique(values).tolist()} == {0, 1} and name.isidentifier():
            yield from ("--trials", name)
            return


def _window(start: Num[np.ndarray, " B"], stop: Num[np.ndarray, " B"], columns: Mapping[str, Shaped[np.ndarray, " B"]]) -> Iterator[str]:
    """The event that is likeliest, and as much time around it as nearly all trials have."""
    inside = {
        name: values.astype(np.float64)
        for name, values in columns.items()
        if values.dtype.kind in "iuf" and np.mean((values >= start) & (values <= stop)) >= 0.5 and not np.allclose(values, start, equal_nan=True)
    }
    event = next((name for word in _EVENTS for name in inside if word in name.lower()), None) or next(iter(inside), None)
    if event is None:
        return
    moments = inside[event]
    to_ms = 1000.0 if np.nanmedian(stop - start) < 200 else 1.0  # times are in seconds, unless trials would last minutes
    spare = [np.nanpercentile(gap, 5) * to_ms for gap in (moments - start, stop - moments)]
    before, after = (np.floor(min(most, gap) / _STEP_MS) * _STEP_MS for most, gap in zip((_BEFORE_MS, _AFTER_MS), spare, strict=True))
    yield from ("--event", event)
    if before > 0:
        yield from ("--before", f"{before:g}")
    if after > 0:
        yield from ("--after", f"{after:g}")


def _first(names: list[str], pattern: str) -> str | None:
    """The name in which the earliest of the words occurs."""
    for word in pattern.split("|"):
        for name in names:
            if re.search(word, name, flags=re.IGNORECASE):
                return name
    return None
