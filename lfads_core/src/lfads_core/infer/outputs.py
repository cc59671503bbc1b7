"""The output file: the input's own arrays beside everything inferred, with units and a time axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfads_core.data.hdf5 import opened
from lfads_core.data.rows import row_blocks
from lfads_core.data.session import Session
from lfads_core.errors import DataError
from lfads_core.files import replacing, spoken_failure
from lfads_core.infer.copied_inputs import copy_inputs, write_as_stored
from lfads_core.infer.posterior import OF_DISTRIBUTION, OF_LATENT, Inferred
from lfads_core.output_file import OutputFile

SESSION = "lfads_session"
"""Attribute of an output file: the name that the model knows its session by."""

CHECKPOINT = "lfads_checkpoint"
"""Attribute of an output file: the weights that it was made with."""

MEANINGS = {
    "output_params": "expected value of each channel in each bin",
    "factors": "latent factors",
    "ic_mean": "mean of the posterior over the initial condition",
    "ic_std": "standard deviation of the posterior over the initial condition",
    "co_means": "means of the posteriors over inferred inputs",
    "co_stds": "standard deviations of the posteriors over inferred inputs",
    "gen_states": "generator states",
    "gen_init": "generator state before the first bin",
    "gen_inputs": "generator inputs: inferred, then external",
    "con_states": "controller states",
    "rates_hz": "expected events per second",
}


def write_outputs(
    path: Path, session: Session, inferred: Mapping[str, Iterable[Inferred]], *, samples: int | None, is_rate: bool, checkpoint: str = ""
) -> None:
    """Write one session's outputs as a new HDF5 file that replaces ``path`` at once.

    What was inferred comes in parts of a split's trials, in their order, and is written part by part.

    Holds, per split, ``<split>_<field>`` for every field of :class:`~lfads_core.infer.posterior.Inferred`, the rates in
    events per second where bins have a width and means are counts, and all arrays of the input under their own names, bit by
    bit as they are stored there. Trials are in the input's order; ``time_ms`` is the start of each bin, counted from the event
    that trials are aligned to if the file names one. When channels were held out, data, truth and outputs stand in the model's
    order of channels, held-in ones first: ``channel_order`` (N) gives each one's index in the recording. ``checkpoint`` names the weights.

    Raises:
        RunError: the file cannot be written.
    """
    with _recording(session) as source, spoken_failure(path, (OSError,)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, OutputFile(temporary) as file:
            with spoken_failure(path):
                _carry(file, session, source)
                file.attrs[SESSION] = session.name
                file.attrs[CHECKPOINT] = checkpoint
                file.attrs["lfads_posterior_samples"] = 0 if samples is None else samples
            for name, parts in inferred.items():
                _put_split(file, path, name, parts, session, is_rate=is_rate)
            with spoken_failure(path):
                if session.bin_ms is not None and inferred:
                    bins = next(iter(session.splits.values())).recon.shape[1]
                    times = _new(file, "time_ms", (bins,), np.dtype(np.float64), "start of each bin", "ms")
                    times[...] = session.first_bin_ms + np.arange(bins) * session.bin_ms
                file.flush()


@contextmanager
def _recording(session: Session) -> Iterator[h5py.File | None]:
    """The file a session came from, if it is HDF5 and still there."""
    if session.path is None or not session.path.is_file() or not h5py.is_hdf5(session.path):
        yield None
        return
    try:
        file = opened(session.path)
    except DataError:  # it was read a while ago, and what was read is still known
        yield None
        return
    with file:
        yield file


def _carry(file: h5py.File, session: Session, source: h5py.File | None) -> None:
    """Take over everything the input holds."""
    for key, value in session.attributes.items():
        file.attrs[key] = value
    for key, array in session.arrays.items():
        _carry_array(file, key, array, source)
    if session.stored and source is not None:
        copy_inputs(file, session, source)
    for name, split in () if session.stored else session.splits.items():
        for key, array in {"encod_data": split.encod, "recon_data": split.recon, "ext_input": split.external, **split.extras}.items():
            if array.size:
                _carry_array(file, f"{name}_{key}", array, source)
    if "channel_order" in file:
        file["channel_order"].attrs["meaning"] = "index in the recording of each channel of data, truth and outputs"


def _carry_array(file: h5py.File, key: str, array: np.ndarray, source: h5py.File | None) -> None:
    """Copy the dataset with its type and attributes, unless the session holds something else than it does."""
    stored = None if source is None or array.dtype.kind == "O" else _stored_as(source, key)
    if stored is not None and stored.shape == array.shape and stored.dtype.kind in "biuf" and _same(stored, array):
        write_as_stored(file, key, stored, Path(stored.file.filename))
    else:
        file.create_dataset(key, data=array)


def _stored_as(source: h5py.File, key: str) -> h5py.Dataset | None:
    """The recording's array of this name; None where it cannot be had, for what was read of it is known."""
    try:
        found = source.get(key)
        return found if isinstance(found, h5py.Dataset) and found.dtype is not None else None
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):
        return None


def _same(stored: h5py.Dataset, array: np.ndarray) -> bool:
    """Whether a dataset holds an array's values, looked at some rows at a time; not if it was damaged since they were read."""
    blocks = row_blocks(array.shape, array.dtype.itemsize, stored.chunks[0] if stored.chunks else 1) if array.ndim else [()]
    nan = array.dtype.kind == "f"
    try:
        return all(np.array_equal(stored.astype(array.dtype)[rows], array[rows], equal_nan=nan) for rows in blocks)
    except (OSError, RuntimeError, ValueError):
        return False


def _put_split(file: OutputFile, path: Path, name: str, parts: Iterable[Inferred], session: Session, *, is_rate: bool) -> None:
    datasets: dict[str, h5py.Dataset] = {}
    done = 0
    for part in parts:  # inferring the next part stands outside the guard: its faults are none of the file's
        arrays = part.arrays()
        if is_rate and session.bin_ms is not None:
            arrays["rates_hz"] = part.output_params * (1000 / session.bin_ms)
        with spoken_failure(path):
            for key, array in arrays.items():
                if key not in datasets:
                    unit = unit_of(key, is_rate=is_rate)
                    datasets[key] = _new(file, f"{name}_{key}", (session.trials(name), *array.shape[1:]), array.dtype, meaning_of(key), unit)
                if array.size:
                    datasets[key][done : done + len(array)] = array
            file.require_written()
        done += len(part.factors)


def _new(file: h5py.File, key: str, shape: tuple[int, ...], dtype: np.dtype[Any], meaning: str, unit: str) -> h5py.Dataset:
    if key in file:  # the input carries an array of this name, such as an earlier run's
        free = f"input_{key}"
        while free in file:
            free = f"input_{free}"
        file.move(key, free)
    dataset = file.create_dataset(key, shape, dtype)
    dataset.attrs["meaning"] = meaning
    dataset.attrs["unit"] = unit
    return dataset


def meaning_of(field: str) -> str:
    """What an inferred array is; a latent of a plugin and a parameter of the data's distribution are known by their names alone."""
    if field.startswith(OF_DISTRIBUTION):
        return f"{field.removeprefix(OF_DISTRIBUTION)} of each channel's distribution in each bin"
    return MEANINGS.get(field) or f"posterior over the latent {field.removeprefix(OF_LATENT).rpartition('_')[0]}: {field.rpartition('_')[2]}"


def unit_of(field: str, *, is_rate: bool) -> str:
    """Unit of an inferred array."""
    if field == "rates_hz":
        return "events/s"
    if field == "output_params":
        return "events/bin" if is_rate else "units of the data"
    return "of the distribution" if field.startswith(OF_DISTRIBUTION) else "arbitrary"
