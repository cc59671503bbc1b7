"""Labelled arrays: trials, times, units, factors and inputs under their own names, in the recording's own order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from lfads_core.data.hdf5 import opened_outputs, read_hdf5
from lfads_core.data.layout import session_arrays
from lfads_core.data.legacy import SPLITS
from lfads_core.errors import DataError
from lfads_core.front.recording import Recording
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.posterior import OF_DISTRIBUTION
from lfads_plugins_lab.export.generate import sample_trials
from lfads_plugins_lab.export.trials import MergedTrials, condition_key, merge_splits, names_of
from lfads_plugins_std.alignment.condition_names import texts

_STATES = ("gen_states", "gen_init", "gen_inputs", "con_states")
"""What an output file holds and nobody labels: large, and in no unit."""

_INFERRED = {
    "rates": (("rates_hz", "output_params"), ("trial", "time", "unit"), "inferred rate"),
    "factors": (("factors",), ("trial", "time", "factor"), "latent factor"),
    "inputs": (("co_means",), ("trial", "time", "input"), "inferred input, posterior mean"),
    "input_stds": (("co_stds",), ("trial", "time", "input"), "inferred input, standard deviation of the posterior"),
    "initial_conditions": (("ic_mean",), ("trial", "dimension"), "initial condition, posterior mean"),
    "initial_condition_stds": (("ic_std",), ("trial", "dimension"), "initial condition, standard deviation of the posterior"),
    "data": (("recon_data", "encod_data"), ("trial", "time", "unit"), "recorded value"),
    "truth": (("truth",), ("trial", "time", "unit"), "true value per bin"),
}
"""Name -> arrays of the file (the first that is there), dimensions, meaning."""

_TAKEN = frozenset({"trial", "time", "unit", "factor", "input", "dimension", "split", "condition", "held_out", "forward", *_INFERRED})


def results(path: Path) -> xr.Dataset:
    """Everything of an output file that has a meaning to label.

    Raises:
        DataError: the file is damaged, or names a trial twice.
    """
    with opened_outputs(path) as file:
        attributes = dict(file.attrs)
        kept = {key: item for key, item in file.items() if isinstance(item, h5py.Dataset) and not key.endswith(_STATES)}
        arrays = {key: item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()] for key, item in kept.items()}
        units = {key.partition("_")[2]: str(item.attrs["unit"]) for key, item in kept.items() if "unit" in item.attrs}
    return labelled(arrays, attributes, units)


def recorded(recording: Recording) -> xr.DataArray:
    """A recording's values to reconstruct.

    Raises:
        DataError: it stays on disk, for it is larger than memory.
    """
    session = recording.session
    if session.stored:
        if session.path is None:
            raise DataError(f"session '{session.name}': must be in a file while it is larger than memory, got none.")
        session = read_hdf5(session.path, required=())
    arrays = session_arrays(session)
    stand_in = {f"{name}_output_params": split.recon for name, split in session.splits.items()}
    return labelled({**arrays, **stand_in}, session.attributes, {})["data"]


def generated(run: LoadedRun, trials: int, seed: int) -> xr.Dataset:
    """Samples from the prior, channels in the recording's own order; those of several sessions have ``rates_SESSION`` and ``data_SESSION``."""
    arrays, units = sample_trials(run, trials=trials, seed=seed)
    bin_ms, alone = run.description.bin_ms, len(run.description.sessions) == 1
    found = xr.Dataset(
        {
            "factors": (("trial", "time", "factor"), arrays["factors"]),
            "inputs": (("trial", "time", "input"), arrays["gen_inputs"]),
            "initial_conditions": (("trial", "dimension"), arrays["ic"]),
        },
        coords={"trial": np.arange(trials), "time": _time(None, arrays["factors"].shape[1], {} if bin_ms is None else {"bin_ms": bin_ms})},
        attrs={"lfads_run": run.run.name, "seed": seed},
    )
    for info in run.description.sessions:
        ending = "" if alone else f"_{info.name}"
        place = np.argsort(info.arrays.get("channel_order", np.arange(info.recon_channels)))
        for name, key in (("rates", f"{info.name}_output_params"), ("data", f"{info.name}_data")):
            per_second = name == "rates" and units[key] == "events/bin" and bin_ms is not None
            values = arrays[key][:, :, place] * (1000 / bin_ms if per_second and bin_ms else 1.0)
            found[f"{name}{ending}"] = (("trial", "time", f"unit{ending}"), values, {"units": "events/s" if per_second else units[key]})
        if (path := run.run.output(info.name)).is_file():
            like = results(path)
            found = found.assign_coords({f"unit{ending}": like["unit"].values, f"held_out{ending}": (f"unit{ending}", like["held_out"].values)})
            found = found.assign_coords(time=like["time"])
    return found


def labelled(arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any], units: Mapping[str, str]) -> xr.Dataset:
    """Arrays under the keys of a file, with a label for everything that the file knows.

    ``trial`` is each trial's number in the recording; ``split``, ``condition`` and whatever else is known of each go with it. ``time`` is the
    middle of each bin, in ms from the event that trials are aligned to. ``unit`` are the channels' names; ``held_out`` says which the model did
    not see.
    """
    merged = merge_splits(arrays, attributes)
    bins = merged.arrays["output_params"].shape[1]
    variables: dict[str, Any] = {}
    for name, (keys, dims, meaning) in _INFERRED.items():
        key = next((key for key in keys if key in merged.arrays), None)
        if key is None or merged.arrays[key].ndim != len(dims) or (dims[1] == "time" and merged.arrays[key].shape[1] != bins):
            continue
        if dims[-1] == "unit" and merged.arrays[key].shape[-1] != merged.channels.place.size:
            continue
        about = {"long_name": meaning, **({"units": units[key]} if key in units else {})}
        variables[name] = (dims, merged.arrays[key], about)
    riding = {key: values for key, values in merged.arrays.items() if values.ndim == 3 and values.shape[1] == bins and values.dtype.kind in "biuf"}
    for key, values in riding.items():
        if key not in {k for keys, _, _ in _INFERRED.values() for k in keys} and key not in _TAKEN:
            of_units = key.startswith(OF_DISTRIBUTION) and values.shape[2] == merged.channels.place.size
            variables[key] = (("trial", "time", "unit" if of_units else f"{key}_dimension"), values)
    found = xr.Dataset(variables, coords={**_of_trials(merged, arrays, attributes), **_of_units(merged), "time": _time(arrays, bins, attributes)})
    for dim in ("factor", "input", "dimension"):
        if dim in found.sizes:
            found = found.assign_coords({dim: np.arange(found.sizes[dim])})
    seen = next((arrays[f"{split}_encod_data"].shape[1] for split in SPLITS if f"{split}_encod_data" in arrays), bins)
    if seen < bins:
        found = found.assign_coords(forward=("time", np.arange(bins) >= seen))
    return found.assign_attrs(
        {key: value.item() if isinstance(value, np.generic) else value for key, value in attributes.items() if np.ndim(value) == 0}
    )


def _of_trials(merged: MergedTrials, arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The number of each trial in the recording, and all that is known of each."""
    found: dict[str, Any] = {"trial": merged.order.trial, "split": ("trial", merged.order.split.astype(str))}
    key = condition_key(merged, None)
    said = {key, "split", *({"condition"} if attributes.get("condition_columns") == "condition" else ())}
    for name, values in merged.arrays.items():
        if values.ndim == 1 and values.dtype.kind in "biufOSU" and name not in said:
            plain = np.array(texts(values)) if values.dtype.kind in "OS" else values
            found[f"trial_{name}" if name in _TAKEN else name] = ("trial", plain)
    if key is not None and merged.arrays[key].ndim == 1:
        labels = merged.arrays[key]
        names = names_of(labels, arrays.get(f"{key}_names"))
        found["condition"] = (
            "trial",
            np.array(texts(names if names is not None else labels)) if names is not None or labels.dtype.kind in "OS" else labels,
        )
    return found


def _of_units(merged: MergedTrials) -> dict[str, Any]:
    """Names of the channels, whether each was held out, and all that is known of each."""
    count = merged.channels.place.size
    found: dict[str, Any] = {"unit": np.arange(count), "held_out": ("unit", merged.channels.held_out)}
    for key, values in merged.about.items():
        plain = np.array(texts(values)) if values.dtype.kind in "OS" else values
        if key in ("channel_names", "channels"):
            found["unit"] = plain
        elif plain.ndim == 1:
            name = key.removeprefix("channel_")
            found[f"unit_{name}" if name in _TAKEN else name] = ("unit", plain)
    return found


def _time(arrays: Mapping[str, np.ndarray] | None, bins: int, attributes: Mapping[str, Any]) -> Any:
    """Middles of the bins in ms; numbers of the bins where no width is known."""
    width = attributes.get("bin_ms")
    if width is None:
        return ("time", np.arange(bins), {"units": "bins", "long_name": "bin"})
    starts = None if arrays is None else arrays.get("time_ms")
    if starts is None or starts.shape != (bins,):
        starts = float(attributes.get("first_bin_ms", 0.0)) + np.arange(bins) * float(width)
    event = attributes.get("aligned_to")
    since = f"from {event}" if event is not None else "from the start of the trial"
    return ("time", starts + float(width) / 2, {"units": "ms", "long_name": f"middle of each bin, {since}"})
