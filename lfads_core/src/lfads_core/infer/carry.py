"""What an output file takes over from a recording that stays on disk, some trials at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from lfads_core.data.hdf5 import names_in
from lfads_core.data.legacy import rates_per_bin
from lfads_core.data.rows import AbstractRows, open_rows
from lfads_core.data.session import Session


def carry_stored(file: h5py.File, session: Session, source: h5py.File) -> None:
    """Copy every array with a row per trial: data as the model takes them, the rest as the session has it.

    Unchanged arrays are copied as they are stored; those whose channels were put in another order, and true rates that are
    stored in units of their own, are written anew.
    """
    path = Path(source.filename)
    names = names_in(source, path)
    order = session.arrays.get("channel_order")
    for split, stored in session.stored.items():
        held: dict[str, AbstractRows | None] = {"encod_data": stored.encod, "recon_data": stored.recon, "ext_input": stored.external}
        for key, rows in held.items():
            name = f"{split}_{key}"
            if rows is None:
                continue
            if order is None and name in names:
                source.copy(source[names[name]], file, name)
            else:
                _write(file, name, rows, lambda block: block)
        for key, sample in session.splits[split].extras.items():
            dataset = source[names[f"{split}_{key}"]]
            if key == "truth" and (order is not None or "conversion_factor" in source):
                _write(file, f"{split}_{key}", open_rows(path, dataset, sample.dtype), _rates(source, order))
            else:
                source.copy(dataset, file, f"{split}_{key}")


def _rates(source: h5py.File, order: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    factor = np.asarray(source["conversion_factor"][()]) if "conversion_factor" in source else None

    def convert(block: np.ndarray) -> np.ndarray:
        rates = block if factor is None else rates_per_bin(block, factor, where=str(source.filename))
        return np.take(rates, order, axis=2) if order is not None and rates.ndim == 3 and rates.shape[2] == order.size else rates

    return convert


def _write(file: h5py.File, name: str, rows: AbstractRows, convert: Callable[[np.ndarray], np.ndarray]) -> None:
    dataset = file.create_dataset(name, rows.shape, rows.dtype)
    for first, block in rows.blocks():
        dataset[first : first + len(block)] = convert(block)
