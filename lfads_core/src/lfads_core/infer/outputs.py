"""The output file: the input's own arrays beside everything inferred, with units and a time axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from lfads_core.data.session import Session
from lfads_core.files import replacing
from lfads_core.infer.posterior import Inferred

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


def write_outputs(path: Path, session: Session, inferred: Mapping[str, Inferred], *, samples: int | None, is_rate: bool) -> None:
    """Write one session's outputs as a new HDF5 file that replaces ``path`` at once.

    Holds, per split, ``<split>_<field>`` for every field of :class:`~lfads_core.infer.posterior.Inferred`, the rates in
    events per second where bins have a width and means are counts, and all arrays of the input under their own names.
    Trials are in the input's order; ``time_ms`` is the start of each bin.
    """
    bin_ms = session.bin_ms
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for key, value in session.attributes.items():
            file.attrs[key] = value
        file.attrs["lfads_session"] = session.name
        file.attrs["lfads_posterior_samples"] = 0 if samples is None else samples
        for key, array in session.arrays.items():
            file.create_dataset(key, data=array)
        for name, split in session.splits.items():
            for key, array in {"encod_data": split.encod, "recon_data": split.recon, "ext_input": split.external, **split.extras}.items():
                if array.size:
                    file.create_dataset(f"{name}_{key}", data=array)
        for name, found in inferred.items():
            for field in fields(found):
                _put(file, f"{name}_{field.name}", getattr(found, field.name), MEANINGS[field.name], _unit(field.name, is_rate=is_rate))
            if is_rate and bin_ms is not None:
                _put(file, f"{name}_rates_hz", found.output_params * (1000 / bin_ms), MEANINGS["rates_hz"], "events/s")
        if bin_ms is not None and inferred:
            bins = next(iter(inferred.values())).factors.shape[1]
            _put(file, "time_ms", np.arange(bins) * bin_ms, "start of each bin", "ms")


def _put(file: h5py.File, key: str, array: np.ndarray, meaning: str, unit: str) -> None:
    if key in file:  # the input carries an array of this name, such as an earlier run's
        file.move(key, f"input_{key}")
    dataset = file.create_dataset(key, data=array)
    dataset.attrs["meaning"] = meaning
    dataset.attrs["unit"] = unit


def _unit(field: str, *, is_rate: bool) -> str:
    if field == "output_params":
        return "events/bin" if is_rate else "units of the data"
    return "arbitrary"
