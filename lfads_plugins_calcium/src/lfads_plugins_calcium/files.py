"""What suite2p and CaImAn leave behind: deconvolved events of the cells among the regions, at the frame rate that the file says.

Each reader gives arrays by name (``data`` (frames, cells), ``bin_ms``, ``channel_names``, ...), which ``lfads data make`` takes for what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from lfads_core.data.bounds import Room, spoken_reading
from lfads_core.data.hdf5 import opened
from lfads_core.data.listing import datasets_of, values_of
from lfads_core.errors import DataError
from lfads_plugins_std.pickled import read_npy

_HDF5 = (".hdf5", ".h5", ".hdf", ".mat")


def is_suite2p(path: Path) -> bool:
    """A plane's folder, the folder of all planes, an array in one, or ``Fall.mat``."""
    return bool(_planes(path)) or (path.suffix.lower() == ".mat" and path.is_file() and {"spks", "iscell"} <= _names(path))


def is_caiman(path: Path) -> bool:
    """What ``CNMF.save`` writes."""
    if path.suffix.lower() not in _HDF5 or not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with opened(path) as file:
            return "estimates" in file and "params" in file
    except (DataError, OSError, RuntimeError):
        return False


def read_suite2p(path: Path, _options: object) -> dict[str, Any]:
    """Events (``spks``) of the regions that are cells (``iscell``), frame by frame; channels are called by the number of their region.

    Raises:
        DataError: an array is missing, or they do not fit together.
    """
    plane = _plane(path)
    found = _fall(path) if plane is None else {name: read_npy(plane / f"{name}.npy") for name in ("spks", "iscell", "ops") if _there(plane, name)}
    where = str(path if plane is None else plane)
    for name in ("spks", "iscell"):
        if name not in found:
            raise DataError(f"{where}: must hold '{name}', got none. Run suite2p to its end, with its deconvolution (spikedetect).")
    ops = found.get("ops")
    ops = ops.item() if isinstance(ops, np.ndarray) and ops.shape == () else ops
    rate = ops.get("fs") if isinstance(ops, Mapping) else None
    events, cell = np.asarray(found["spks"]), np.asarray(found["iscell"])
    if events.dtype.kind not in "iuf" or cell.dtype.kind not in "biuf":
        raise DataError(f"{where}: 'spks' and 'iscell' must be numbers, got {events.dtype} and {cell.dtype}. Run suite2p again.")
    if events.ndim != 2 or cell.ndim != 2 or len(cell) != len(events) or not cell.shape[1]:
        raise DataError(f"{where}: 'spks' (regions, frames) and 'iscell' (regions, 2) must fit together, got {events.shape} and {cell.shape}.")
    kept = np.flatnonzero(cell[:, 0] > 0)
    more = {"channel_probability": cell[kept, 1].astype(np.float64)} if cell.shape[1] > 1 else {}
    return _arrays(where, events, kept, rate, more)


def read_caiman(path: Path, _options: object) -> dict[str, Any]:
    """Events (``estimates/S``) of the accepted components (``idx_components``, or all), frame by frame.

    Raises:
        DataError: there are none.
    """
    with opened(path) as file:
        held, room = datasets_of(file, path), Room()
        if (events := held.get("estimates/S")) is None or events.ndim != 2 or events.dtype.kind not in "iuf":
            raise DataError(f"{path}: must hold deconvolved events as 'estimates/S' (components, frames), got none. Run CaImAn with deconvolution.")
        chosen, rate = held.get("estimates/idx_components"), held.get("params/data/fr")
        kept = np.arange(events.shape[0])
        if chosen is not None and chosen.dtype.kind in "iu" and chosen.ndim == 1:
            kept = values_of(chosen, "estimates/idx_components", path, room).astype(np.int64)
        if kept.size and not (kept.min() >= 0 and kept.max() < events.shape[0]):
            at = f"{kept.min()} to {kept.max()}"
            raise DataError(f"{path}: 'estimates/idx_components' must be among the {events.shape[0]} rows of 'estimates/S', got {at}. Save it again.")
        fps = None if rate is None else values_of(rate, "params/data/fr", path, room)
        return _arrays(str(path), values_of(events, "estimates/S", path, room), kept, fps, {})


def _arrays(where: str, events: Shaped[np.ndarray, "R F"], kept: Shaped[np.ndarray, " N"], rate: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    if not kept.size:
        raise DataError(f"{where}: some region must be a cell, got none of {len(events)}. Choose cells in suite2p or CaImAn.")
    found: dict[str, Any] = {"data": np.ascontiguousarray(events[kept].T), "channel_names": np.array([str(k) for k in kept.tolist()], dtype=object)}
    value = np.asarray(rate if rate is not None else np.nan)
    if value.size == 1 and value.dtype.kind in "iuf" and float(value.ravel()[0]) > 0:
        found["bin_ms"] = 1000 / float(value.ravel()[0])
    return {**found, **more}  # without a rate --bin says it


def _plane(path: Path) -> Path | None:
    """The folder of the plane that is meant; None for a file.

    Raises:
        DataError: there are several.
    """
    planes = _planes(path)
    if len(planes) > 1:
        raise DataError(f"{path}: one plane must be named, got {', '.join(folder.name for folder in planes)}. Name its folder, or combine them.")
    return planes[0] if planes else None


def _planes(path: Path) -> list[Path]:
    if path.suffix == ".npy" and path.is_file():
        return [path.parent] if _there(path.parent, "iscell") else []
    if not path.is_dir():
        return []
    if _there(path, "spks") or _there(path, "iscell"):
        return [path]
    combined = path / "combined"
    return [combined] if _there(combined, "spks") else sorted(folder for folder in path.glob("plane*") if _there(folder, "spks"))


def _there(folder: Path, name: str) -> bool:
    return (folder / f"{name}.npy").is_file()


def _names(path: Path) -> set[str]:
    """Names of the variables of a MAT-file; none where it cannot be read."""
    try:
        if h5py.is_hdf5(path):
            with opened(path) as file:
                return set(file)
        from scipy.io import whosmat

        return {name for name, _, _ in whosmat(path)}
    except Exception:  # noqa: BLE001 - whoever reads it says what is wrong with it
        return set()


def _fall(path: Path) -> dict[str, Any]:
    """Variables of ``Fall.mat``."""
    if h5py.is_hdf5(path):
        with opened(path) as file:
            held, room = datasets_of(file, path), Room()
            found: dict[str, Any] = {name: np.transpose(values_of(held[name], name, path, room)) for name in ("spks", "iscell") if name in held}
            return {**found, "ops": {"fs": values_of(held["ops/fs"], "ops/fs", path, room).ravel()} if "ops/fs" in held else {}}
    from scipy.io import loadmat, whosmat

    names, room = ["spks", "iscell", "ops"], Room()
    with spoken_reading(path, "a Matlab file", by="scipy", hint="Save it again."):
        for name, shape, _ in whosmat(path):
            if name in names:
                room.take(path, f"'{name}'", shape, 8)
        return dict(loadmat(path, variable_names=names, simplify_cells=True))
