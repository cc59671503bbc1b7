"""Objects of pynapple, or anything that looks like them: TsGroup, IntervalSet, Tsd, TsdFrame. All their times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

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
    return Raw(
        where=where,
        units=events,
        trials=None if trials is None else _trials(where, trials),
        series={name: _series(where, name, signal) for name, signal in (series or {}).items()},
        about=_metadata(units, len(events), leave=("rate",)),
        clock="s",
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
    return values.reshape(len(values), -1)


def _metadata(of: Any, rows: int, leave: tuple[str, ...] = ()) -> dict[str, Shaped[np.ndarray, " R"]]:
    """Columns of an object's metadata, numbers and text."""
    columns = {}
    for name in getattr(of, "metadata_columns", ()):
        values = np.asarray(of.get_info(name))
        if name not in leave and values.shape == (rows,):
            columns[str(name)] = values if values.dtype.kind in "biuf" else values.astype(object)
    return columns
