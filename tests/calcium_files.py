"""What suite2p and CaImAn leave behind, as these packages write it: a plane's folder, ``Fall.mat`` of both kinds, an HDF5 file of CNMF's."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

FS = 30.0
"""Frames per second."""


def plane(folder: Path, events: np.ndarray, cell: np.ndarray, **ops: object) -> Path:
    """The folder of one plane: ``events`` (regions, frames), ``cell`` (regions, 2), and entries of ``ops`` beside the rate of frames."""
    folder.mkdir(parents=True)
    for name, value in {"F": events + 1000, "spks": events, "iscell": cell}.items():
        np.save(folder / f"{name}.npy", value)
    np.save(folder / "ops.npy", np.array({"fs": FS, **ops}, dtype=object), allow_pickle=True)
    return folder


def fall(path: Path, events: np.ndarray, cell: np.ndarray) -> Path:
    """``Fall.mat`` as suite2p saves it."""
    savemat(path, {"F": events, "Fneu": events, "spks": events, "iscell": cell, "ops": {"fs": FS, "nplanes": 1}})
    return path


def fall_73(path: Path, events: np.ndarray, cell: np.ndarray) -> Path:
    """The same, saved again by MATLAB in version 7.3."""
    with h5py.File(path, "w") as file:
        file["spks"], file["iscell"], file["ops/fs"] = events.T, cell.T, np.array([[FS]])
    return path


def caiman(path: Path, events: np.ndarray, chosen: np.ndarray | list[int] | None) -> Path:
    """What ``CNMF.save`` writes: ``events`` (components, frames), and the accepted components if they were chosen."""
    with h5py.File(path, "w") as file:
        file["estimates/S"], file["estimates/C"], file["params/data/fr"] = events, events + 7, FS
        if chosen is not None:
            file["estimates/idx_components"] = np.asarray(chosen)
    return path
