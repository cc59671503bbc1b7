"""Recordings from arrays, spike times, raw files and pynapple's objects: the code of ``lfads data make``, with its options by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.data.objects import as_array, as_column, as_numbers
from lfads_core.data.read import session_name
from lfads_core.errors import ConfigError, DataError
from lfads_core.front.brought import as_names, as_path, check_mapping, check_options
from lfads_core.front.options import ArrayOptions, CutOptions, FileOptions
from lfads_core.front.recording import Recording
from lfads_core.front.words import in_python
from lfads_core.wording import first_few
from lfads_plugins_lab.recordings.build import make
from lfads_plugins_lab.recordings.files import SourceOptions, read_source
from lfads_plugins_lab.recordings.options import LEAST_BIN_MS, MakeOptions, WindowOptions
from lfads_plugins_lab.recordings.pynapple import from_pynapple as raw_of_pynapple
from lfads_plugins_lab.recordings.raw import Cut, Raw, Series, Trials, Uneven
from lfads_plugins_lab.recordings.tables import trials_of, units_of
from lfads_plugins_lab.recordings.wishes import DEFAULTS, aligned, wishes

_NAMES = {
    "event_from_start": "from_start",
    "before": "before_ms",
    "after": "after_ms",
    "jitter": "jitter_ms",
    "smooth": "smooth_ms",
    "keep_units": "units",
    "key": "keys",
    "forward": "forward_ms",
}
"""Option in Python -> the command's own name for it, where they differ."""

_ANY_WIDTH = 1e6
"""Stands for the width of bins that nobody knows, in ms: so wide that nothing looks odd; no file has it."""

_SEVERAL = ("condition", "behaviour", "external", "circular", "axes", "key", "hold_out_channel")


def from_raw(path: str | Path, **options: Any) -> Recording:
    """A raw file of any kind that ``lfads data make`` reads."""
    path = as_path("path", path)
    source, how = _wishes(options, FileOptions)
    recording = _made(read_source(path, source), how, _called(options, session_name(path)))
    attributes = {**recording.session.attributes, "made_from": path.name, "made_from_path": str(path.resolve())}
    return replace(recording, session=replace(recording.session, attributes=attributes))


def from_spikes(times: Any, units: Any, trials: Any, *, series: Mapping[str, tuple[Any, Any]] | None, **options: Any) -> Recording:
    """Spike times in seconds, by unit or beside the unit of each, and signals."""
    where = "spikes"
    if isinstance(times, Mapping):
        if units is not None:
            raise ConfigError(f"{where}: times by unit say which unit they are of, got units beside them. Leave units out.")
        if len({str(name) for name in times}) < len(times):
            raise DataError(f"{where}: each unit must have a name of its own, got {first_few([repr(name) for name in times], 5)}. Rename them.")
        events = {str(name): _numbers(f"{where}: times of unit {name!r}", values).ravel() for name, values in times.items()}
    elif units is None:
        raise ConfigError(f"{where}: times in one array must come with the unit of each, got none. Give units=..., or times by unit: {{'a': times}}.")
    else:
        events = units_of(where, as_array(f"{where}: units", units, "Mend it.").ravel(), _numbers(f"{where}: times", times).ravel())
    check_mapping(f"{where}: series", series, {"hand": ("times", "values")})
    signals = {str(name): _series(f"{where}: the signal {name!r}", pair) for name, pair in ({} if series is None else series).items()}
    raw = Raw(where=where, units=events, trials=_trials(where, trials), series=signals)
    return _made(raw, _wishes(options, CutOptions)[1], _called(options))


def from_pynapple(units: Any, trials: Any, *, series: Mapping[str, Any] | None, **options: Any) -> Recording:
    """pynapple's objects."""
    return _made(raw_of_pynapple(units, trials, series), _wishes(options, CutOptions)[1], _called(options))


def from_arrays(
    counts: Any, *, bin_ms: float | None, conditions: Any, behaviour: Any, channel_names: Any, split: Any, trials: Any, **options: Any
) -> Recording:
    """Values in bins, (trials, bins, channels)."""
    where = "arrays"
    bin_ms = check_options({"bin_ms": bin_ms}, CutOptions, where)["bin_ms"]
    if bin_ms is not None and bin_ms < LEAST_BIN_MS:
        raise DataError(f"{where}: 'bin_ms' must be at least {LEAST_BIN_MS:g}, the width of a bin in ms, got {bin_ms:g}.")
    values = as_array(f"{where}: counts", counts, "Cut trials to one length, or fill up with NaN.")
    if values.dtype.kind not in "biuf" or values.ndim != 3 or 0 in values.shape:
        raise DataError(
            f"{where}: counts must be numbers (trials, bins, channels), got shape {values.shape} of type {values.dtype}. Give three axes."
        )
    if np.isinf(values).any():
        raise DataError(
            f"{where}: counts must be finite, got {int(np.isinf(values).sum())} infinite of {values.size} values. Store NaN for not observed."
        )
    columns = _table(where, trials)
    per_trial = _per_trial(where, values, {**columns, "condition": conditions, "split": split}, behaviour)
    names = _names(where, channel_names, values.shape[2])
    options = check_options(options, ArrayOptions, "Recording.from_arrays")
    if bin_ms is None and options.get("min_rate"):
        raise ConfigError("Recording.from_arrays: 'min_rate' counts events per second, so it needs 'bin_ms', got none. Give it.")
    event, before = options.get("event"), options.get("before") or 0.0
    said = {name: value for name, value in options.items() if name not in ("event", "before")}
    said |= ({} if split is None else {"split_column": "split"}) | ({} if conditions is None else {"condition": "condition"})
    how = _wishes(said, CutOptions)[1]
    width = _ANY_WIDTH if bin_ms is None else bin_ms
    cut = Cut(where=where, values=values.astype(np.float64), bin_ms=width, names=names, per_trial=per_trial)
    recording = _made(cut, how, _called(options))
    session, known = recording.session, {} if bin_ms is None else {"bin_ms": bin_ms, "first_bin_ms": 0.0 - before}
    attributes = (
        {key: value for key, value in session.attributes.items() if key != "bin_ms"} | known | ({} if event is None else {"aligned_to": event})
    )
    session = replace(session, attributes=attributes)
    if "start_s" in columns:  # on the session's clock, which such a column means here
        renamed = {name: {_renamed(key): rows for key, rows in of.extras.items()} for name, of in session.splits.items()}
        session = replace(session, splits={name: replace(of, extras=renamed[name]) for name, of in session.splits.items()})
    return replace(recording, session=session)


def _per_trial(where: str, values: np.ndarray, columns: Mapping[str, Any], behaviour: Any) -> dict[str, np.ndarray]:
    """One value for each trial, or as many as it has bins.

    Raises:
        DataError: something has another length.
    """
    found = {name: as_column(f"{where}: '{name}'", column) for name, column in columns.items() if column is not None}
    for name, column in found.items():
        if column.shape != (len(values),):
            raise DataError(f"{where}: '{name}' must have one value for each of {len(values)} trials, got shape {column.shape}. Mend it.")
    if behaviour is not None:
        moved = as_numbers(f"{where}: behaviour", behaviour)
        moved = moved[..., None] if moved.ndim == 2 else moved
        if moved.ndim != 3 or moved.shape[:2] != values.shape[:2]:
            raise DataError(
                f"{where}: behaviour must be (trials, bins, dimensions) with {values.shape[:2]} trials and bins, got {moved.shape}. Mend it."
            )
        found["behavior"] = moved
    return found


def _names(where: str, given: Sequence[str] | None, channels: int) -> tuple[str, ...]:
    names = tuple(str(name) for name in (range(channels) if given is None else as_column(f"{where}: channel_names", given).ravel().tolist()))
    if len(names) != channels or len(set(names)) != channels:
        raise DataError(
            f"{where}: each of {channels} channels must have a name of its own, got {len(names)}, {len(set(names))} different. Mend them."
        )
    return names


def _renamed(key: str) -> str:
    return "start_s" if key == "trial_start_s" else key


def _made(source: Raw | Cut | Uneven, how: MakeOptions, name: str) -> Recording:
    made = make(source, how)
    return Recording.of(name, made.arrays, made.attributes, [replace(problem, text=in_python(problem.text)) for problem in made.problems])


def _called(options: Mapping[str, Any], usual: str = "recording") -> str:
    """The name that the recording is to have.

    Raises:
        ConfigError: no file can have it.
    """
    name: str = usual if options.get("name") is None else options["name"]
    if (safe := session_name(Path(f"{name or 'monday'}.h5"))) != name:
        raise ConfigError(
            f"Recording: 'name' must be letters, digits, '_' and '-' of ASCII, for files are named by it, got {name!r}. Such as {safe!r}."
        )
    return name


def _numbers(what: str, values: Any) -> np.ndarray:
    hint = "For pynapple's objects there is Recording.from_pynapple." if type(values).__module__.startswith("pynapple") else "Mend them."
    return as_numbers(what, values, hint)


def _series(what: str, pair: Any) -> Series:
    """A signal of the times of its samples and their values.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise DataError(f"{what} must be a pair of times (s) and values, got {type(pair).__name__}. Give both.")
    times, values = (_numbers(f"{what}: its {part}", given) for part, given in zip(("times", "values"), pair, strict=True))
    values = values[:, None] if values.ndim == 1 else values
    if times.ndim != 1 or values.ndim != 2 or len(times) != len(values):
        raise DataError(
            f"{what} must have a time for each sample, (samples,) and (samples, dimensions), got {times.shape} and {values.shape}. Mend it."
        )
    return Series(times=times, values=values)


def _wishes(options: Mapping[str, Any], known: type) -> tuple[SourceOptions, MakeOptions]:
    """Options of the command line, with those that were given."""
    options = {name: value for name, value in check_options(options, known, "Recording").items() if value is not None}
    said = dict(DEFAULTS)
    for name, value in options.items():
        if name in ("name", "window", "overlap", "keep_trials", "stratify"):
            continue
        said[_NAMES.get(name, name)] = as_names(name, value) if name in _SEVERAL else value
    said["no_stratify"] = not options.get("stratify", True)
    if "overlap" in options and "window" not in options:
        raise ConfigError("Recording: 'overlap' is of windows that chop a whole recording, got no 'window'. Say how long they are.")
    window = WindowOptions(chop_ms=options["window"], overlap_ms=options.get("overlap", 0.0)) if "window" in options else aligned(said)
    if "window" in options and (clash := [name for name in ("event", "before", "after", "jitter") if name in options]):
        raise ConfigError(f"Recording: 'window' chops the whole recording, so it goes without '{clash[0]}', got both. Give one of them.")
    source, how = wishes(window, said)
    return source, replace(how, keep_trials=options.get("keep_trials"))


def _trials(where: str, trials: Any) -> Trials | None:
    """A DataFrame, or columns by name."""
    if trials is None:
        return None
    columns = _table(where, trials)
    lengths = {column.shape for column in columns.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise DataError(f"{where}: columns of the trials must have one value for each trial, got shapes {sorted(lengths)}. Mend them.")
    return trials_of(where, columns, {})


def _table(where: str, trials: Any) -> dict[str, np.ndarray]:
    """Columns by name."""
    if trials is None:
        return {}
    if not hasattr(trials, "keys"):
        raise DataError(f"trials: must be a table, such as a DataFrame or arrays by name, got {type(trials).__name__}. Wrap it.")
    names = trials.keys()  # of a DataFrame too
    return {str(name): as_column(f"{where}: '{name}' of the trials", trials[name]) for name in names}
