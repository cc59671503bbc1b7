"""Neurodata Without Borders: units, trials, time series and electrodes of an NWB file, through pynwb."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Shaped

from lfads_core.data.bounds import Room
from lfads_core.data.hdf5 import opened
from lfads_core.data.listing import datasets_of, is_ragged
from lfads_core.errors import DataError
from lfads_core.wording import one_line
from lfads_plugins_lab.recordings.raw import Raw, Series, Trials

_NOT_ABOUT = frozenset({"spike_times", "obs_intervals", "waveforms", "waveform_mean", "waveform_sd", "electrodes", "electrode_group"})
"""Columns of the units that are no single value of each."""


def read_nwb(path: Path) -> Raw:
    """Read a file; times should be in seconds, and are looked at like any other.

    Units without a name are called by their id. What stands in the columns of the units rides along, and so do the electrode of each
    and its location. Where units have observation intervals, bins outside of them are not observed. Series are known by their own
    name, or ``PARENT/NAME`` where a name stands twice.

    Raises:
        DataError: pynwb is missing, or the file is damaged or holds no units.
    """
    pynwb = pynwb_of(str(path))
    if h5py.is_hdf5(path):
        with opened(path) as file:
            datasets_of(file, path)  # refuses what is damaged, or declared and never written, before pynwb meets it
            _refuse_ragged(file, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of older schemas, which are read all the same
            with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as io:
                return _raw(path, io.read())
    except DataError:
        raise
    except Exception as err:
        raise DataError(f"{path}: must be a readable NWB file, but pynwb says {one_line(err)}. Check it with nwbinspector.") from err


def _refuse_ragged(file: h5py.File, path: Path) -> None:
    """Look at the types of all attributes before pynwb reads them; what cannot be looked at is left to it."""
    unreadable = suppress(OSError, RuntimeError, ValueError, TypeError, KeyError, NotImplementedError)
    left, seen = [file], set()
    while left:
        item = left.pop()
        if (where := h5py.h5o.get_info(item.id).addr) in seen:
            continue
        seen.add(where)
        ragged = []
        with unreadable:
            for key in item.attrs:
                with unreadable:
                    ragged += [key] if is_ragged(item.attrs, key) else []
        if ragged:
            raise DataError(f"{path}: attribute {ragged[0]!r} of '{item.name}' must be text or numbers, got a ragged array. Restore the file.")
        with unreadable:
            for key in item if isinstance(item, h5py.Group) else ():
                with unreadable:
                    left += [item[key]] if isinstance(item.get(key, getlink=True), h5py.HardLink) else []


def pynwb_of(where: str) -> Any:
    """The package, for a file.

    Raises:
        DataError: it is not installed.
    """
    try:
        import pynwb
        import pynwb.epoch
        import pynwb.file
    except ImportError as err:
        raise DataError(f"{where}: NWB files need pynwb. Install it: pip install 'lfads-core[nwb]'.") from err
    return pynwb


def _raw(path: Path, nwb: Any) -> Raw:
    where = str(path)
    if nwb.units is None or "spike_times" not in nwb.units.colnames or not len(nwb.units):
        raise DataError(f"{where}: must have units with spike times, got none. Sort the recording first, or give another file.")
    names = _unit_names(nwb.units)
    Room().take(where, "spike times", np.shape(nwb.units["spike_times"].target.data), np.dtype(np.float64).itemsize)
    units = {name: np.asarray(nwb.units["spike_times"][i], dtype=np.float64) for i, name in enumerate(names)}
    return Raw(
        where=where,
        units=units,
        trials=_trials(nwb),
        series=_series(nwb, where),
        observed=_observed(nwb.units, names),
        about=_about(nwb.units),
    )


def _unit_names(units: Any) -> list[str]:
    """A column ``unit_name`` or ``name`` if it tells the units apart, else their ids."""
    for key in ("unit_name", "name"):
        if key in units.colnames:
            names = [str(value) for value in units[key][:]]
            if len(set(names)) == len(names):
                return names
    return [str(value) for value in units.id[:]]


def _trials(nwb: Any) -> Trials | None:
    table = nwb.trials
    if table is None or not len(table):
        return None
    columns = {name: _column(table[name][:]) for name in table.colnames if name not in ("start_time", "stop_time")}
    return Trials(
        start=np.asarray(table["start_time"][:], dtype=np.float64),
        stop=np.asarray(table["stop_time"][:], dtype=np.float64),
        columns={name: values for name, values in columns.items() if values is not None},
    )


def _column(values: Any) -> Shaped[np.ndarray, " R"] | None:
    """Numbers or text of each row; None for anything longer, such as references or lists."""
    array = np.asarray(values)
    if array.ndim != 1:
        return None
    if array.dtype.kind in "biuf":
        return array
    if all(isinstance(value, str | bytes | np.str_) for value in array.tolist()):
        return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist()], dtype=object)
    return None


def _observed(units: Any, names: list[str]) -> Mapping[str, Float[np.ndarray, "_ 2"]]:
    if "obs_intervals" not in units.colnames:
        return {}
    return {name: np.asarray(units["obs_intervals"][i], dtype=np.float64).reshape(-1, 2) for i, name in enumerate(names)}


def _about(units: Any) -> dict[str, Shaped[np.ndarray, " N"]]:
    about = {}
    for name in units.colnames:
        if name not in _NOT_ABOUT and (values := _column_of(units, name)) is not None:
            about[name] = values
    if "electrodes" in units.colnames:
        about.update(_electrodes(units))
    return about


def _column_of(units: Any, name: str) -> Shaped[np.ndarray, " N"] | None:
    try:
        return _column(units[name][:])
    except (TypeError, ValueError):  # rows of unequal length
        return None


def _electrodes(units: Any) -> dict[str, Shaped[np.ndarray, " N"]]:
    """Id and location of the first electrode of each unit; -1 and no location for a unit without any."""
    numbers, locations = [], []
    for i in range(len(units)):
        rows = units["electrodes"][i]  # a table of the unit's electrodes
        numbers.append(int(rows.index[0]) if len(rows) else -1)
        locations.append(str(rows["location"].iloc[0]) if len(rows) and "location" in rows else "")
    return {"electrode": np.array(numbers), "location": np.array(locations, dtype=object)}


def _series(nwb: Any, where: str) -> dict[str, Series]:
    from pynwb import TimeSeries

    found = [obj for obj in nwb.objects.values() if isinstance(obj, TimeSeries) and _is_signal(obj)]
    names = [obj.name for obj in found]
    series = {}
    room = Room()
    for obj in found:
        name = obj.name if names.count(obj.name) == 1 else f"{obj.parent.name}/{obj.name}"
        room.take(where, f"'{name}'", np.shape(obj.data), np.dtype(np.float64).itemsize)
        values = np.asarray(obj.data[:], dtype=np.float64) * (obj.conversion or 1.0) + (obj.offset or 0.0)
        series[name] = Series(times=_times(obj, len(values)), values=values.reshape(len(values), -1), unit=str(obj.unit or ""))
    return series


def _is_signal(obj: Any) -> bool:
    """Numbers over time, and no raw voltages or images."""
    from pynwb.ecephys import ElectricalSeries

    if isinstance(obj, ElectricalSeries) or obj.data is None:
        return False
    shape, dtype = np.shape(obj.data), getattr(obj.data, "dtype", np.asarray(obj.data[:1]).dtype)
    return 1 <= len(shape) <= 2 and shape[0] > 0 and np.dtype(dtype).kind in "biuf"


def _times(obj: Any, samples: int) -> Float[np.ndarray, " S"]:
    if obj.timestamps is not None:
        return np.asarray(obj.timestamps[:], dtype=np.float64)
    times: np.ndarray = (obj.starting_time or 0.0) + np.arange(samples) / obj.rate
    return times
