"""Objects of pynapple, or anything that looks like them: TsGroup, IntervalSet, Tsd, TsdFrame. All their times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from lfads_core.data.objects import as_column
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.raw import Raw, Series, Trials


def from_pynapple(units: Any, trials: Any = None, series: Mapping[str, Any] | None = None, *, where: str = "pynapple") -> Raw:
    """Take a ``TsGroup`` of events, an ``IntervalSet`` of trials or a ``Ts`` of their events, and ``Tsd`` or ``TsdFrame`` by name.

    The intervals' metadata are columns of the trials.
    The events' time support has no part in it: where it was not set it ends with the last event, and says nothing of when channels were recorded.

    Raises:
        DataError: an object is of another kind.
    """
    try:
        events = {str(key): np.asarray(units[key].index, dtype=np.float64) for key in units.keys()}  # noqa: SIM118 - a TsGroup iterates otherwise
    except (AttributeError, TypeError) as err:
        raise DataError(f"{where}: events must be a TsGroup, got {type(units).__name__}. Wrap them in one.") from err
    if not isinstance(series, Mapping | None):
        raise DataError(f"{where}: series must be signals by name, such as {{'hand': tsd}}, got {type(series).__name__}. Name them.")
    return Raw(
        where=where,
        units=events,
        trials=None if trials is None else _trials(where, trials),
        series={str(name): _series(where, str(name), signal) for name, signal in (series or {}).items()},
        about=_metadata(units, len(events), leave=("rate",)),
    )


def _trials(where: str, trials: Any) -> Trials:
    try:
        if hasattr(trials, "index") and np.ndim(getattr(trials, "end", 0.0)) == 0:  # moments alone: a Ts
            moments = np.asarray(trials.index, dtype=np.float64)
            return Trials(start=moments, stop=np.full(moments.size, np.nan))
        start, stop = (np.asarray(getattr(trials, name), dtype=np.float64) for name in ("start", "end"))
    except (AttributeError, TypeError) as err:
        raise DataError(f"{where}: trials must be an IntervalSet, got {type(trials).__name__}. Wrap them in one.") from err
    return Trials(start=start, stop=stop, columns=_metadata(trials, start.size))


def _series(where: str, name: str, signal: Any) -> Series:
    try:
        times, values = np.asarray(signal.index, dtype=np.float64), np.asarray(signal.values, dtype=np.float64)
    except (AttributeError, TypeError, ValueError) as err:
        raise DataError(f"{where}: '{name}' must be a Tsd or TsdFrame, got {type(signal).__name__}. Wrap it in one.") from err
    columns = getattr(signal, "columns", None)
    return Series(times=times, values=_two_axes(values), names=() if columns is None else tuple(map(str, columns)))


def _two_axes(values: Float[np.ndarray, "S ..."]) -> Float[np.ndarray, "S K"]:
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def _metadata(of: Any, rows: int, leave: tuple[str, ...] = ()) -> dict[str, Shaped[np.ndarray, " R"]]:
    """Columns of an object's metadata, numbers and text; of what pynapple itself cannot give there is none."""
    found = {}
    for name in getattr(of, "metadata_columns", ()):
        with suppress(TypeError, ValueError):
            found[str(name)] = of.get_info(name)
    return _plain_columns(found, rows, leave=leave)


METADATA = "_metadata"
"""Where pynapple saves what is known of each channel or interval, as a pickled dictionary."""


def saved_as(file: Mapping[str, Any]) -> str | None:
    """Name of the class whose ``save`` wrote this archive, if it was one of pynapple's."""
    if "type" not in file:
        return None
    name = str(np.ravel(file["type"])[0])
    return name if name in {"TsGroup", "IntervalSet", "Ts", "Tsd", "TsdFrame", "TsdTensor"} else None


def from_saved(where: str, kind: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Raw:
    """What ``save`` of pynapple wrote: events of a TsGroup or Ts, trials of an IntervalSet, or a signal.

    Raises:
        DataError: an array is missing.
    """
    needs = {"IntervalSet": ("start", "end"), "TsGroup": ("t", "index"), "Ts": ("t",)}.get(kind, ("t", "d"))
    if missing := [key for key in needs if key not in arrays]:
        raise DataError(f"{where}: a {kind} of pynapple's must hold '{missing[0]}', got {', '.join(arrays)}. Save it again.")
    if kind == "IntervalSet":
        start, stop = (np.asarray(arrays[key], dtype=np.float64) for key in ("start", "end"))
        return Raw(where=where, trials=Trials(start=start, stop=stop, columns=_plain_columns({**arrays, **metadata}, start.size, leave=needs)))
    if kind in {"TsGroup", "Ts"}:
        index = np.asarray(arrays["index"]) if kind == "TsGroup" else np.zeros(len(arrays["t"]), dtype=np.int64)
        keys = np.asarray(arrays["keys"]) if "keys" in arrays else np.unique(index)
        units = {str(key): np.asarray(arrays["t"], dtype=np.float64)[index == key] for key in keys.tolist()}
        own = (*needs, "d", "keys", "start", "end", "rate")
        return Raw(where=where, units=units, about=_plain_columns({**arrays, **metadata}, len(units), leave=own))
    values = np.asarray(arrays["d"], dtype=np.float64)
    names = tuple(map(str, np.ravel(arrays["columns"]).tolist())) if "columns" in arrays else ()
    return Raw(where=where, series={"signal": Series(times=np.asarray(arrays["t"], dtype=np.float64), values=_two_axes(values), names=names)})


def _plain_columns(values: Mapping[str, Any], rows: int, *, leave: tuple[str, ...] = ()) -> dict[str, Shaped[np.ndarray, " R"]]:
    """Numbers and text with one entry for each row; anything else is left out."""
    found = {}
    for name, value in values.items():
        try:
            column = as_column(name, list(value.values()) if isinstance(value, Mapping) else value)
        except DataError:
            continue
        if name not in (*leave, "type") and column.shape == (rows,):
            found[str(name)] = column
    return found
