"""Tables of text: one line for each event, trial or sample, a first line with the names of the columns."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Num, Shaped

from lfads_core.data.objects import as_column
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.raw import Series, Trials
from lfads_plugins_lab.recordings.windows import unknown

STARTS = ("start", "start_time", "trial_start", "start_s", "start_ms")
STOPS = ("stop", "stop_time", "end", "end_time", "trial_stop", "trial_end", "stop_s", "stop_ms")
UNITS = ("unit", "units", "unit_id", "neuron", "cluster", "channel", "spike_units", "spike_clusters")
TIMES = ("time", "times", "spike_time", "spike_times", "timestamp", "timestamps", "t")
"""Names of columns, and of arrays, that are taken for what they say unless the user names another."""

INDEX = "the index of pandas"

Columns = Mapping[str, Shaped[np.ndarray, " R"]]


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Columns by name: numbers where every field is one or empty (NaN), text otherwise.

    Fields stand between commas, semicolons or tabs, or, where the first line has none of these, between spaces.

    Raises:
        DataError: the file is missing, has no rows, or a row has too many or too few fields.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: must be a file, got something else. Check the path.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            separator = max(",;\t", key=head.count)
            if head.count(separator):
                names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
                names[:1] = [name or INDEX for name in names[:1]]  # pandas leaves its index without a name
                rows = [row for row in csv.reader(file, delimiter=separator) if row]
            else:  # spaces, as many as one likes
                names, rows = head.split(), [line.split() for line in file if line.strip()]
    except FileNotFoundError as err:
        raise DataError(f"{path}: must be a file, found nothing there. Check the path.") from err
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise DataError(f"{path}: must be a readable table of text, got {err}. Check the path.") from err
    if len(set(names)) < len(names) or not all(names):
        raise DataError(f"{path}: the first line must name every column once, got {names}. Name them.")
    if names and all(map(_is_number, names)):
        raise DataError(f"{path}: the first line must name the columns, got the numbers {', '.join(names[:5])}. Add a line such as unit,time.")
    if not rows:
        raise DataError(f"{path}: must have at least one row below the names of its columns, got none. Check the file.")
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise DataError(f"{path}: every row must have {len(names)} fields, got {len(row)} in line {number}. Mend the line.")
    return {name: _column([row[i].strip() for row in rows]) for i, name in enumerate(names) if name != INDEX}


def _column(fields: list[str]) -> np.ndarray:
    try:
        return np.array([_number(field) if field else np.nan for field in fields])
    except ValueError:
        return np.array(fields, dtype=object)


def pick(where: str, what: str, columns: Mapping[str, object], named: str | None, usual: tuple[str, ...]) -> str:
    """Name of the column that holds something: the one the user names, or the first of the usual names.

    Raises:
        DataError: it is not there.
    """
    if named is not None:
        if named not in columns:
            raise DataError(unknown(where, f"the column of the {what} must be there", named, list(columns)))
        return named
    by_lower = {name.lower(): name for name in reversed(list(columns))}
    found = next((by_lower[name] for name in usual if name in by_lower), None)
    if found is None:
        shown = ", ".join(map(repr, columns)) or "nothing"
        raise DataError(f"{where}: must have a column with the {what} ({', '.join(usual[:3])}...), got {shown}. Name it with --key.")
    return found


def numbers(where: str, name: str, values: Shaped[np.ndarray, " R"]) -> Num[np.ndarray, " R"]:
    """Times, as numbers.

    Raises:
        DataError: they are text.
    """
    if not values.size:
        return np.zeros(values.shape)
    if values.dtype.kind not in "biuf":
        wrong = next((i for i, value in enumerate(values.tolist()) if not _is_number(value)), 0)
        point = " with a point as the decimal mark" if _is_number(str(values[wrong]).replace(",", ".", 1)) else ""
        got = f"got {str(values[wrong])!r} in row {wrong}"
        raise DataError(f"{where}: '{name}' must hold numbers{point}, {got}. Mend it, or name another column with --key.")
    if values.dtype.kind in "iu" and max(abs(int(values.max())), abs(int(values.min()))) > 2**53:
        return values.astype(np.int64)  # such as nanoseconds since 1970, which float64 would round
    return values.astype(np.float64)


def _is_number(value: object) -> bool:
    try:
        _number(str(value))
    except ValueError:
        return False
    return True


def _number(field: str) -> float:
    """The number that a field is. Python takes 1_12 for 112, but here it is a name: unit 12 of probe 1."""
    if "_" in field:
        raise ValueError(field)
    return float(field)


def units_of(where: str, units: Shaped[np.ndarray, " _"], times: Num[np.ndarray, " R"]) -> dict[str, np.ndarray]:
    """Times by unit; numbers in rising order, or names in alphabetical order.

    Raises:
        DataError: units and times are not as many, there are none, or what a unit is called is no number and no text.
    """
    if units.shape != times.shape:
        raise DataError(f"{where}: units and times must be as many, got {units.size} and {times.size}. Give one unit for each event.")
    if not times.size:
        raise DataError(f"{where}: must hold events, got none. Check which arrays or columns hold them.")
    units = as_column(f"{where}: units", units)
    if units.dtype.kind == "f":
        if np.isnan(units).any():
            raise DataError(f"{where}: every event must have a unit, got none for {int(np.isnan(units).sum())}. Leave these rows out.")
        units = units.astype(np.int64) if (units == np.rint(units)).all() else units
    if units.dtype.kind == "O":
        units = units.astype(str)
    names, codes = np.unique(units, return_inverse=True)
    order = np.argsort(codes, kind="stable")  # within a unit as they came
    ends = np.cumsum(np.bincount(codes, minlength=names.size))[:-1]
    return {str(name): part for name, part in zip(names.tolist(), np.split(times[order], ends), strict=True)}


def trials_of(where: str, columns: Columns, keys: Mapping[str, str]) -> Trials:
    """A table of trials with their start and stop, NaN where no column says them; further columns stay as they are."""
    if not columns:
        raise DataError(
            f"{where}: the start of each trial must be one flat array of times, got none. Mend it, or name another with --key start=NAME."
        )
    by_lower = {name.lower(): name for name in columns}

    def moments(role: str, usual: tuple[str, ...]) -> tuple[str | None, Num[np.ndarray, " R"]]:
        key = keys.get(role) or next((by_lower[name] for name in usual if name in by_lower), None)
        if key is None:
            return None, np.full(len(next(iter(columns.values()))), np.nan)
        return key, numbers(where, key, columns[pick(where, f"{role} of each trial", columns, key, usual)])

    (start_key, start), (stop_key, stop) = moments("start", STARTS), moments("stop", STOPS)
    return Trials(start=start, stop=stop, columns={name: values for name, values in columns.items() if name not in (start_key, stop_key)})


def read_trials(path: Path, keys: Mapping[str, str]) -> Trials:
    """A table of trials from a file."""
    return trials_of(str(path), read_table(path), keys)


def read_series(path: Path) -> Series:
    """A signal from a file: a column of times, and one for each dimension."""
    columns = read_table(path)
    key = pick(str(path), "times", columns, None, TIMES)
    rest = {name: numbers(str(path), name, values) for name, values in columns.items() if name != key}
    if not rest:
        raise DataError(f"{path}: must have a column of values beside '{key}', got none. Add them.")
    return Series(times=numbers(str(path), key, columns[key]), values=np.stack(list(rest.values()), axis=1), names=tuple(rest))


def read_events(path: Path, keys: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Times by unit from a file with one line for each event."""
    columns, where = read_table(path), str(path)
    unit, time = pick(where, "units", columns, keys.get("units"), UNITS), pick(where, "times", columns, keys.get("times"), TIMES)
    return units_of(where, columns[unit], numbers(where, time, columns[time]))
