"""Named arrays, whatever file they came from, taken for what their names and shapes say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from lfads_core.errors import ConfigError, DataError
from lfads_core.wording import first_few
from lfads_plugins_lab.recordings.axes import CHANNELS, axes_told, in_order, lengths_of, like
from lfads_plugins_lab.recordings.grid import as_grid, by_channel, laid_out, on_one_clock, trials_first
from lfads_plugins_lab.recordings.raw import Cut, Raw, Series, Signal, Trials, Uneven
from lfads_plugins_lab.recordings.tables import STARTS, TIMES, UNITS, numbers, pick, trials_of, units_of
from lfads_plugins_lab.recordings.values import flat, is_flat, one_number, text_of
from lfads_plugins_lab.recordings.windows import unknown

ROLES = {
    "times": "times of events: flat beside 'units', or a list with one array for each channel",
    "units": "the channel of each event",
    "data": "values in bins: (trials, bins, channels), or (bins, channels) of one long recording",
    "start": "start of each trial",
    "stop": "stop of each trial",
    "names": "names of the channels",
    "bin_ms": "width of a bin in ms",
    "rate": "bins per second",
}
"""What an array can be named as, with ``--key ROLE=NAME``."""

DATA = ("data", "counts", "spike_counts", "binned_spikes", "spikes", "events")
RATES = ("fs", "fs_hz", "rate", "frame_rate", "framerate", "sampling_rate", "fr")
_BESIDE = frozenset({"bin_ms", *RATES, *CHANNELS})
_LAYOUT = ("train_encod_data", "train_data", "train/encod_data")

Arrays = Mapping[str, Any]
"""Arrays by name; a list of arrays where each has a length of its own."""


def source_of(
    where: str,
    arrays: Arrays,
    keys: Mapping[str, str],
    axes: str | None = None,
    own_axes: Mapping[str, str] = MappingProxyType({}),
    times_from: str | None = None,
) -> Raw | Cut | Uneven:
    """Take arrays for what they are.

    ``keys`` gives the array of a role, where its name is not a usual one; ``axes`` the order in which axes are stored: trials (b), bins (t),
    channels or dimensions (n); ``own_axes`` that of arrays by name; ``times_from`` what times in a cell for each trial count from, "trial" or
    "session".

    Raises:
        ConfigError: a role or the order of the axes is unknown.
        DataError: there are neither times nor data, or they do not fit together.
    """
    for role in keys:
        if role not in ROLES:
            raise ConfigError(f"--key {role}=...: must be one of {', '.join(ROLES)}, got {role!r}")
    _check_orders(axes, own_axes)
    for name in own_axes:
        if name not in arrays:
            raise DataError(unknown(where, "--axes must name an array", name, list(arrays)))
    if found := [key for key in _LAYOUT if key in arrays]:
        raise DataError(f"{where}: is split for training already ('{found[0]}'). Train on it, or change it with `lfads data rebin` and the like.")
    left = _without_prefix(dict(arrays), {*keys.values(), *own_axes})
    times = _find(left, where, "times", keys, tuple(name for name in TIMES if name != "t"))
    if times is not None:
        return _raw_of_events(where, left.pop(times), left, keys, own_axes.get(times, axes), times_from)
    name = _find(left, where, "data", keys, DATA) or _only_cube(where, left)
    said = own_axes.get(name, axes)
    data = in_order(where, name, left.pop(name), said or "btn")
    notes: tuple[str, ...] = ()
    bin_ms = _bin_width(where, left, keys)
    if said is None and not isinstance(data, list) and data.ndim in (2, 3):
        order, notes = axes_told(where, data.shape, *lengths_of(left, keys, flat), bin_ms)
        data = np.transpose(data, order)
    left = {key: like(where, (key, values), (len(data), own_axes.get(key), axes or "btn")) for key, values in left.items()}
    if isinstance(data, list):
        return _uneven(where, data, bin_ms, left, keys)
    taken = _of_bins(where, data, bin_ms, left, keys)
    return replace(taken, notes=(*notes, *taken.notes))


def _check_orders(axes: str | None, own_axes: Mapping[str, str]) -> None:
    for order in (*([] if axes is None else [axes]), *own_axes.values()):
        if sorted(order) not in (sorted("btn"), sorted("tn"), sorted("bn")):
            raise ConfigError(
                f"--axes: must order b (trials), t (bins) and n (channels), such as nbt, or t and n alone, or b and n of cells of times, "
                f"got {order!r}"
            )


def _without_prefix(arrays: dict[str, Any], named: set[str]) -> dict[str, Any]:
    """Fields of the one structure that a file holds, without its name; not where somebody calls them by it.

    Beside the structure there may be what is known of all trials: the width of a bin, names of channels.
    """
    fields = [name for name in arrays if name.lower() not in _BESIDE]
    one = next(iter(fields), "")
    shared = [one[: i + 1] for i, letter in enumerate(one) if letter == "_" and all(name.startswith(one[: i + 1]) for name in fields)]
    prefix = shared[-1] if shared else ""
    if len(fields) < 2 or not prefix or any(name.startswith(prefix) for name in named) or any(name in arrays for name in (*TIMES, *DATA)):
        return arrays
    short = {name: name.removeprefix(prefix) if name in fields else name for name in arrays}
    return {short[name]: values for name, values in arrays.items()} if len({*short.values()}) == len(arrays) else arrays


def _find(left: Mapping[str, Any], where: str, role: str, keys: Mapping[str, str], usual: tuple[str, ...]) -> str | None:
    """Name of the array of a role; None when nobody named one and no usual name is there."""
    if role not in keys and not set(usual) & {name.lower() for name in left}:
        return None
    return pick(where, ROLES[role].split(":")[0], left, keys.get(role), usual)


def _take(left: dict[str, Any], where: str, role: str, keys: Mapping[str, str], usual: tuple[str, ...]) -> Any:
    """The array of a role, out of those that are left."""
    name = _find(left, where, role, keys, usual)
    return None if name is None else left.pop(name)


def _only_cube(where: str, left: Mapping[str, Any]) -> str:
    cubes = [name for name, values in left.items() if not isinstance(values, list) and np.ndim(values) == 3]
    if len(cubes) == 1:
        return cubes[0]
    shown = ", ".join(f"{name} {_shape(values)}" for name, values in left.items()) or "nothing"
    raise DataError(
        f"{where}: must hold times of events or values in bins, got {shown}. "
        "Name the array with --key times=NAME (and units=NAME) or --key data=NAME."
    )


def _shape(values: Any) -> str:
    return f"list of {len(values)}" if isinstance(values, list) else str(np.shape(values))


def _raw_of_events(where: str, times: Any, left: dict[str, Any], keys: Mapping[str, str], axes: str | None, times_from: str | None) -> Raw:
    if isinstance(times, list) and (grid := as_grid(where, times)) is not None:
        return _raw_of_cells(where, grid, left, keys, axes, times_from)
    if isinstance(times, list):
        names = _names(where, left, keys, len(times))
        units = {name: numbers(where, f"times of {name}", np.ravel(values)) for name, values in zip(names, times, strict=True)}
    else:
        of_event = _take(left, where, "units", keys, UNITS)
        if of_event is None:
            raise DataError(f"{where}: times of events must come with the channel of each, got no 'units'. Name the array with --key units=NAME.")
        units = units_of(where, text_of(np.ravel(of_event)), numbers(where, "times", np.ravel(times)))
    trials = _trials(where, left, keys)
    of_channels = {key: text_of(values) for key, values in left.items() if is_flat(values, len(units)) and key.startswith(("channel_", "unit_"))}
    about = {key.removeprefix("channel_").removeprefix("unit_"): values for key, values in of_channels.items()}
    series = _series(where, left)
    return Raw(where=where, units=units, trials=trials, series=series, about=about, notes=_unused(left, {*of_channels, *_with_times(series)}))


def _raw_of_cells(where: str, grid: list[list[Any]], left: dict[str, Any], keys: Mapping[str, str], axes: str | None, times_from: str | None) -> Raw:
    """A cell of times for each trial and channel."""
    table = _trials(where, left, keys)
    cells = trials_first(where, grid, None if table is None else table.start.size, axes)
    if table is None:
        count = len(cells)
        columns = {key: text_of(flat(values)) for key, values in left.items() if is_flat(flat(values), count)}
        table = replace(laid_out(cells), columns={key.removeprefix("trial_"): values for key, values in columns.items()})
        moved, _ = on_one_clock(where, cells, table, "trial")
        note = f"the cells {len(grid)} x {len(grid[0])} come without a start of each trial: events are taken to count from it."
        for key in columns:
            left.pop(key)
    else:
        moved, note = on_one_clock(where, cells, table, times_from)
    names = _names(where, left, keys, len(cells[0]))
    units, observed = by_channel(moved, names, table)
    said = f"{len(cells)} trials of {len(names)} channels, a cell each: {note}"
    return Raw(where=where, units=units, trials=table, observed=observed, series=_series(where, left), notes=(said, *_unused(left, set())))


def _uneven(where: str, data: list[np.ndarray], bin_ms: float | None, left: dict[str, Any], keys: Mapping[str, str]) -> Uneven:
    """Trials of unequal length: arrays with a value for each are their columns, lists of the same lengths are signals beside the data."""
    names = _names(where, left, keys, data[0].shape[1])
    columns = {key: text_of(flat(values)) for key, values in left.items() if is_flat(flat(values), len(data))}
    series = {}
    for key, values in left.items():
        if isinstance(values, list) and len(values) == len(data):
            rows = [
                np.asarray(v, dtype=np.float64).reshape(len(v), -1) if np.ndim(v) else np.zeros((0, 0))
                for v in values
                if np.asarray(v).dtype.kind in "biuf"
            ]
            turned = [r if len(r) == len(d) else r.T for r, d in zip(rows, data, strict=False)]
            if len(turned) == len(data) and all(len(r) == len(d) for r, d in zip(turned, data, strict=True)):
                series[key] = tuple(turned)
    return Uneven(
        where=where,
        values=tuple(trial.astype(np.float64) for trial in data),
        bin_ms=bin_ms,
        names=names,
        columns=columns,
        series=series,
        notes=_unused(left, {*columns, *series}),
    )


def _bin_width(where: str, left: dict[str, Any], keys: Mapping[str, str]) -> float | None:
    """Milliseconds in a bin, from its width or from how many there are in a second."""
    if (named := keys.get("bin_ms", "")).rpartition("_")[2].lower() in RATES or named.lower() in RATES:
        raise DataError(f"{where}: '{named}' is a number of bins per second, not their width in ms. Say --key rate={named}.")
    width, rate = _take(left, where, "bin_ms", keys, ("bin_ms",)), _take(left, where, "rate", keys, RATES)
    bin_ms = None if width is None else one_number(where, "bin_ms", width)
    if bin_ms is not None and not 0 < bin_ms < float("inf"):
        raise DataError(f"{where}: 'bin_ms' must be the width of a bin in ms, > 0, got {bin_ms:g}. Mend it.")
    if bin_ms is not None or rate is None:
        return bin_ms
    if not (hz := one_number(where, "rate", rate)) > 0:
        raise DataError(f"{where}: bins per second must be > 0, got {hz:g}. Mend it.")
    return 1000 / hz


def _of_bins(where: str, data: np.ndarray, bin_ms: float | None, left: dict[str, Any], keys: Mapping[str, str]) -> Raw | Cut:
    if data.dtype.kind not in "biuf":
        raise DataError(f"{where}: data must be numbers, got type {data.dtype}. Name another array with --key data=NAME.")
    if data.ndim not in (2, 3):
        raise DataError(
            f"{where}: data must be (trials, bins, channels) or (bins, channels), got shape {data.shape}. Name another array with --key data=NAME."
        )
    if 0 in data.shape:
        raise DataError(f"{where}: data must have at least one of each of trials, bins and channels, got shape {data.shape}. Check the file.")
    if np.isinf(data).any():
        raise DataError(f"{where}: data must be finite, got {int(np.isinf(data).sum())} infinite of {data.size} values. Store NaN for not observed.")
    values = data.astype(np.float64)
    names = _names(where, left, keys, values.shape[-1])
    if data.ndim == 3:
        per_trial = {key: text_of(v) for key, v in left.items() if not isinstance(v, list) and np.ndim(v) and np.shape(flat(v))[0] == len(values)}
        return Cut(where=where, values=values, bin_ms=bin_ms, names=names, per_trial=per_trial, notes=_unused(left, set(per_trial)))
    trials, series = _trials(where, left, keys), _series(where, left)
    signal = Signal(values=values, bin_ms=math.nan if bin_ms is None else bin_ms)
    return Raw(where=where, signal=signal, names=names, trials=trials, series=series, notes=_unused(left, _with_times(series)))


def _with_times(series: Mapping[str, Series]) -> set[str]:
    return {f"{name}{ending}" for name in series for ending in ("", "_times", "_rate", "_start")}


def _unused(left: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    """A note of the arrays that nothing was made of."""
    names = [
        f"'{name}' {_shape(values)}" for name, values in left.items() if name not in used and not (isinstance(values, np.ndarray) and not values.size)
    ]
    if not names:
        return ()
    shown = first_few(names, 10)
    return (f"not taken along: {shown}. They fit neither the trials nor the channels, and no array says when they were sampled (NAME_times).",)


def _names(where: str, left: dict[str, Any], keys: Mapping[str, str], channels: int) -> tuple[str, ...]:
    given = _take(left, where, "names", keys, CHANNELS)
    if given is None:
        return tuple(map(str, range(channels)))
    names = tuple(str(name) for name in text_of(np.ravel(np.asarray(given, dtype=object) if isinstance(given, list) else given)).tolist())
    if len(names) != channels or len(set(names)) != channels:
        raise DataError(
            f"{where}: each of {channels} channels must have a name of its own, got {len(names)} names, {len(set(names))} different. Mend them."
        )
    return names


def _trials(where: str, left: dict[str, Any], keys: Mapping[str, str]) -> Trials | None:
    """Arrays as long as the starts of the trials are columns of their table; ``trial_`` before a name is left out."""
    lower = {name.lower() for name in left}
    if "start" not in keys and not lower & set(STARTS):
        return None
    start = pick(where, "start of each trial", left, keys.get("start"), STARTS)
    count = np.size(left[start])
    columns = {key: text_of(flat(values)) for key, values in left.items() if is_flat(flat(values), count)}
    for key, values in left.items():
        size = np.size(values) if key.startswith("trial_") and not isinstance(values, list) and np.ndim(flat(values)) == 1 else count
        if size != count and abs(size - count) <= max(1, count // 10):  # other lengths are of something else
            raise DataError(f"{where}: '{key}' must have a value for each of {count} trials, got {size}. Mend it, or call it otherwise.")
    table = trials_of(where, columns, keys)
    for key in columns:
        left.pop(key)
    return Trials(start=table.start, stop=table.stop, columns={key.removeprefix("trial_"): values for key, values in table.columns.items()})


def _series(where: str, left: Mapping[str, Any]) -> dict[str, Series]:
    """NAME with NAME_times, or with NAME_rate in Hz (and NAME_start): what is sampled beside the events."""
    found: dict[str, Series] = {}
    for name, values in left.items():
        if isinstance(values, list) or np.ndim(values) not in (1, 2) or np.asarray(values).dtype.kind not in "biuf" or not np.size(values):
            continue
        samples = np.asarray(values, dtype=np.float64)
        samples = samples.reshape(len(samples), -1)
        if f"{name}_times" in left:
            times = numbers(where, f"{name}_times", np.ravel(left[f"{name}_times"]))
        elif f"{name}_rate" in left:
            start = one_number(where, f"{name}_start", left[f"{name}_start"]) if f"{name}_start" in left else 0.0
            rate = one_number(where, f"{name}_rate", left[f"{name}_rate"])
            if not rate > 0:
                raise DataError(f"{where}: '{name}_rate' must be a number of samples per second > 0, got {rate:g}. Mend it.")
            times = start + np.arange(max(samples.shape)) / rate
        else:
            continue
        if len(samples) != times.size and samples.shape[1] == times.size:
            samples = samples.T  # Matlab's rows
        if len(samples) != times.size:
            raise DataError(
                f"{where}: '{name}' must have one row for each of its {times.size} times, got shape {np.shape(values)}. Mend one of them."
            )
        found[name] = Series(times=times, values=samples)
    return found
