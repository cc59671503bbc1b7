"""What an output file takes over from a recording that stays on disk, some trials at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from lfads_core.data.bounds import spoken_reading
from lfads_core.data.hdf5 import attributes_of, names_in, read_whole, turned_in
from lfads_core.data.legacy import rates_per_bin
from lfads_core.data.listing import is_matlab_text
from lfads_core.data.order import CHANNEL_ORDER, OF_CHANNELS
from lfads_core.data.rows import AbstractRows, open_rows, row_blocks
from lfads_core.data.session import Session


def copy_inputs(file: h5py.File, session: Session, source: h5py.File) -> None:
    """Copy every array with a row per trial: data as the model takes them, the rest as the session has it.

    Unchanged arrays are copied as they are stored; those whose channels were put in another order or left out, and true rates that are
    stored in units of their own, are written anew.
    """
    path = Path(source.filename)
    names = names_in(source, path)
    order, turned = _order(session, source, names), turned_in(source, path)
    for split, stored in session.stored.items():
        held: dict[str, AbstractRows | None] = {"encod_data": stored.encod, "recon_data": stored.recon, "ext_input": stored.external}
        for key, rows in held.items():
            name = f"{split}_{key}"
            if rows is None:
                continue
            if order is None and name in names and not turned and source[names[name]].shape == rows.shape:
                write_as_stored(file, name, source[names[name]], path)
            else:
                _write(file, name, rows, lambda block: block)
        for key, sample in session.splits[split].extras.items():
            dataset = source[names[f"{split}_{key}"]]
            if key == "truth" and "conversion_factor" in source:
                _write(file, f"{split}_{key}", open_rows(path, dataset, sample.dtype, turned=turned), _rates(source, order))
            elif is_matlab_text(dataset) or (turned and (sample.ndim == 1 or sample.dtype.kind == "O")):
                file[f"{split}_{key}"] = read_whole(dataset, key, path, turned=turned)
            elif turned or (key in OF_CHANNELS and order is not None):
                rows = open_rows(path, dataset, sample.dtype, turned=turned)
                _write(file, f"{split}_{key}", rows, partial(_taken, order) if key in OF_CHANNELS else lambda block: block)
            else:
                write_as_stored(file, f"{split}_{key}", dataset, path)


def write_as_stored(file: h5py.File, name: str, stored: h5py.Dataset, path: Path) -> None:
    """Write the values of a recording's array under a name, with its type, compression and attributes.

    Values are read and written, because copying HDF5's objects crashes on some filters, and copies where values are to be
    found rather than the values themselves.

    Raises:
        DataError: ``path``, the recording, can no longer be read.
    """
    text = h5py.check_string_dtype(stored.dtype) is not None
    packed = {"compression": stored.compression, "compression_opts": stored.compression_opts} if stored.compression in {"gzip", "lzf"} else {}
    new = file.create_dataset(name, stored.shape, stored.dtype, chunks=stored.chunks, shuffle=stored.shuffle, **packed)
    step = stored.chunks[0] if stored.chunks else 1
    for rows in row_blocks(stored.shape, stored.dtype.itemsize, step) if stored.shape else [()]:
        with spoken_reading(path, f"'{stored.name}'"):
            block = stored.asstr(errors="replace")[rows] if text else stored[rows]
        new[rows] = block
    for key, value in attributes_of(stored, path).items():
        if isinstance(value, str | int | float) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf"):  # no references
            new.attrs[key] = value


def _rates(source: h5py.File, order: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    factor = np.ravel(source["conversion_factor"][()])  # of MATLAB, a row or a column

    return lambda block: _taken(order, rates_per_bin(block, factor, where=str(source.filename)))


def _taken(order: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    return values if order is None or values.shape[2:] != order.shape else np.take(values, order, axis=2)


def _order(session: Session, source: h5py.File, names: Mapping[str, str]) -> np.ndarray | None:
    """Index in the file of each of the session's channels; None where they stand as they do there."""
    order = session.arrays.get(CHANNEL_ORDER)
    if order is not None and CHANNEL_ORDER in names:  # the file has an order of its own, in which its arrays stand
        order = np.argsort(np.ravel(source[names[CHANNEL_ORDER]][()]))[order]
    return None if order is None or np.array_equal(order, np.arange(order.size)) else order


def _write(file: h5py.File, name: str, rows: AbstractRows, convert: Callable[[np.ndarray], np.ndarray]) -> None:
    dataset = file.create_dataset(name, rows.shape, rows.dtype)
    for first, block in rows.blocks():
        dataset[first : first + len(block)] = convert(block)
