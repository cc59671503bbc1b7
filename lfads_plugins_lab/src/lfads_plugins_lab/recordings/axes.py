"""Which axis is which: what comes along with data often has a length that only one of them has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lfads_core.data.layout import CONDITION_KEYS
from lfads_core.errors import DataError
from lfads_plugins_lab.recordings.tables import STARTS

CHANNELS = ("channel_names", "unit_names", "names", "channels", "neurons")
"""Names of arrays that name channels, unless the user names another."""

_DEFAULT = {3: "btn", 2: "tn"}
_WORDS = {"b": "trials", "n": "channels"}


def axes_told(
    where: str, shape: tuple[int, ...], lengths: Mapping[str, Mapping[str, int]], last_start: float | None, bin_ms: float | None
) -> tuple[list[int], tuple[str, ...]]:
    """How axes must be transposed, and notes on it: not at all, unless it is a long recording that trials only fit into the other way.

    ``lengths`` are those of what comes along, by the axis that it is about.

    Raises:
        DataError: what comes along does not fit the usual order.
    """
    usual = _DEFAULT[len(shape)]
    if len(shape) == 2:
        return _of_a_long_recording(shape, lengths, last_start, bin_ms)
    against = {key: (axis, size) for axis in ("n", "b") for key, size in lengths[axis].items() if axis in usual and size != shape[usual.index(axis)]}
    if not against:
        notes: tuple[str, ...] = ()
        if shape[1] < 10 and shape[2] > 10 * shape[1]:
            notes = (f"trials of {shape[1]} bins and {shape[2]} channels: if it is the other way round, say --axes bnt.",)
        return [0, 1, 2], notes
    fitting = [
        "".join(order)
        for order in itertools.permutations(usual)
        if all(size == shape[order.index(axis)] for axis in ("n", "b") for size in lengths[axis].values())
    ]
    if not fitting:
        return [0, 1, 2], ()  # what does not fit at all is told by name
    shown = ", ".join(f"{size} in '{key}' ({_WORDS[axis]})" for key, (axis, size) in against.items())
    says = f"--axes {fitting[0]}" if len(fitting) == 1 else " or ".join(f"--axes {order}" for order in fitting)
    raise DataError(
        f"{where}: data must be (trials, bins, channels), got shape {shape} beside {shown}. If its axes stand in another order, say {says}."
    )


def _of_a_long_recording(
    shape: tuple[int, ...], lengths: Mapping[str, Mapping[str, int]], last_start: float | None, bin_ms: float | None
) -> tuple[list[int], tuple[str, ...]]:
    """Bins first, unless the last trial begins after the end so and not otherwise, or only the rows have names."""
    turned = shape[0] != shape[1] and (
        (last_start is not None and bin_ms is not None and shape[0] * bin_ms <= last_start * 1000 < shape[1] * bin_ms)
        or (bool(lengths["n"]) and all(size == shape[0] for size in lengths["n"].values()))
    )
    if not turned:
        return [0, 1], ()
    return [1, 0], (f"data of shape {shape} are taken as {shape[0]} channels in {shape[1]} bins: only so do they fit what comes along.",)


def lengths_of(left: Mapping[str, Any], keys: Mapping[str, str], flat: Callable[[Any], Any]) -> tuple[dict[str, dict[str, int]], float | None]:
    """Lengths of what comes along with data, by the axis that it is about; and when the last trial begins, in the file's unit, if it says."""
    found: dict[str, dict[str, int]] = {"n": {}, "b": {}}
    for key, values in left.items():
        size = len(values) if isinstance(values, list) else np.size(values) if np.ndim(flat(values)) == 1 else None
        if size is None or size < 2:
            continue
        if key == keys.get("names") or key.lower() in CHANNELS or key.startswith(("channel_", "unit_")):
            found["n"][key] = size
        elif key in CONDITION_KEYS or key.startswith("trial_") or key in ("inds", keys.get("start"), keys.get("stop"), *STARTS):
            found["b"][key] = size
    lower = {name.lower(): name for name in left}
    name = keys.get("start") or next((lower[name] for name in STARTS if name in lower), None)
    starts = None if name is None else left.get(name)
    if starts is None or isinstance(starts, list) or np.asarray(starts).dtype.kind not in "iuf" or not np.isfinite(starts).any():
        return found, None
    return found, float(np.nanmax(starts))


def in_order(where: str, name: str, values: Any, axes: str) -> Any:
    """Data as (trials, bins, channels) or (bins, channels); a list of (bins, channels) where trials differ in length.

    Raises:
        DataError: trials differ in their channels, or the array has not the axes that were said.
    """
    if isinstance(values, list):  # a trial each, such as a structure of Matlab for each
        within = [axis for axis in axes if axis != "b"]
        trials = [np.asarray(item).transpose([within.index(axis) for axis in "tn"]) if np.ndim(item) == 2 else np.asarray(item) for item in values]
        if len({trial.shape for trial in trials}) == 1:
            return np.stack(trials)
        widths = sorted({trial.shape[1:] for trial in trials})
        if len(widths) != 1 or trials[0].ndim != 2:
            shapes = sorted({trial.shape for trial in trials})
            raise DataError(
                f"{where}: trials must have the same channels, got {shapes[0]} and {shapes[-1]} (bins, channels). Say the order of axes, such as "
                "--axes bnt, cut them alike, or give times of events."
            )
        return trials
    values = np.asarray(values)
    wanted = {3: "btn", 2: "tn"}.get(values.ndim, "")
    order = [axis for axis in axes if axis in wanted]
    if wanted and len(order) != len(wanted):
        raise DataError(f"{where}: '{name}' must have the axes {axes!r}, got shape {values.shape}. Say its order with --axes {name}=ORDER.")
    return np.transpose(values, [order.index(axis) for axis in wanted]) if wanted else values


def like(where: str, named: tuple[str, Any], said: tuple[int, str | None, str]) -> Any:
    """Another array of the file, with its trials first where it has three axes: in its own order if that was said, else in that of all if it fits."""
    (name, values), (trials, own, axes) = named, said
    if own is not None:
        return in_order(where, name, values, own)
    if isinstance(values, list) or np.ndim(values) != 3 or len(axes) != 3:
        return values
    turned = in_order(where, name, values, axes)
    return turned if turned.shape[0] == trials else values
