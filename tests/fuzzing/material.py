"""Faultless files of every kind, and a finished run and search, made once; each input starts as a copy of these."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from click.testing import CliRunner

from calcium_files import caiman, fall, fall_73, plane
from raw_files import WRITERS, reaches
from tiny_runs import TINY

QUICK = (*TINY, "train.epochs=2")


def make(folder: Path, *, runs: bool = True) -> None:
    """Fill a folder with recordings, raw files and a zip, and with a run and everything made from it, a search and a collection."""
    write_recording(folder / "tiny.h5")
    write_recording(folder / "other.h5", seed=1)
    for kind, write in WRITERS.items():
        if kind == "nwb" and not runs:
            continue  # pynwb takes seconds to load
        if kind == "nwb":
            with contextlib.suppress(ImportError):
                _written(write, folder / kind)
        else:
            _written(write, folder / kind)
    _calcium(folder / "calcium")
    (folder / "config.yaml").write_text(_yaml(), encoding="utf-8")
    with zipfile.ZipFile(folder / "sessions.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("tiny.h5", "other.h5"):
            archive.write(folder / name, f"days/{name}")
    if not runs:
        return
    overrides = [word for line in QUICK for word in ("--set", line)]
    here = Path.cwd()
    os.chdir(folder)
    try:
        _run("run", "tiny.h5", *overrides)
        _run("eval", "runs/tiny")
        _run("search", "random", "tiny.h5", *overrides, "--members", "2", "--epochs", "2", "--name", "search")
        _run("collection", "new", "sweep", "--data", "tiny.h5", *overrides)
    finally:
        os.chdir(here)


def write_recording(path: Path, seed: int = 0) -> None:
    """12 + 6 trials, 8 bins, 5 channels of counts, with conditions, rates, behaviour and names."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for split, trials in (("train", 12), ("valid", 6)):
            rates = rng.gamma(2.0, 0.5, (trials, 8, 5))
            file[f"{split}_encod_data"] = rng.poisson(rates).astype(np.float32)
            file[f"{split}_truth"] = rates
            file[f"{split}_cond"] = np.arange(trials) % 3
            file[f"{split}_behavior"] = rng.normal(size=(trials, 8, 2))
        file["channel_names"] = [f"unit {i}" for i in range(5)]
        file.attrs["bin_ms"] = 10.0


def _written(write: object, folder: Path) -> None:
    folder.mkdir()
    write(reaches(16, 4), folder)  # type: ignore[operator]


def _calcium(folder: Path) -> None:
    """Events of 9 regions, 6 of them cells."""
    rng = np.random.default_rng(0)
    events = np.where(rng.random((9, 600)) < 0.05, rng.gamma(2, 50, (9, 600)), 0).astype("f4")
    cell = np.stack([np.arange(9) % 3 > 0, rng.random(9)], axis=1).astype(float)
    plane(folder / "plane0", events, cell)
    fall(folder / "Fall.mat", events, cell)
    fall_73(folder / "Fall73.mat", events, cell)
    caiman(folder / "cnmf.hdf5", events, [0, 4, 7])


def _yaml() -> str:
    """The settings of :data:`QUICK` as a file has them."""
    groups: dict[str, Any] = {}
    for line in QUICK:
        path, _, value = line.partition("=")
        *above, name = path.split(".")
        group = groups
        for part in above:
            group = group.setdefault(part, {})
        group[name] = yaml.safe_load(value)
    return yaml.safe_dump(groups)


def _run(*arguments: str) -> None:
    from lfads_core.cli.main import cli

    result = CliRunner().invoke(cli, list(arguments))
    if result.exit_code:
        raise RuntimeError(f"lfads {' '.join(arguments)}: {result.output}") from result.exception
