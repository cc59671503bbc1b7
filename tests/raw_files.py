"""A recording whose rates are known, written as every kind of raw file: what comes out of the pipeline is held to what went in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

AROUND = ("--event", "go", "--before", "200", "--after", "600", "--bin", "20", "--behaviour", "hand", "--condition", "target")
"""Options of `lfads data make` for all of these files."""

TARGETS = ("down", "left", "right", "up")


@dataclass(frozen=True)
class Reaches:
    """Spikes of cells that follow a rotating state from the go cue on, and the hand that follows it too; all times in s."""

    units: dict[str, np.ndarray]
    start: np.ndarray
    stop: np.ndarray
    go: np.ndarray
    target: np.ndarray
    hand_times: np.ndarray
    hand: np.ndarray  # mm/s

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """(trials, 40, channels) around the go cue, trial by trial with NumPy's histogram."""
        edges = np.arange(41) * 0.02 - 0.2
        return np.stack([np.stack([np.histogram(t, self.go[row] + edges)[0] for t in self.units.values()], axis=1) for row in rows])


def reaches(trials: int, cells: int, conditions: int = 4, seed: int = 0) -> Reaches:
    """The state begins at one place for each target, and turns by half a circle in 600 ms."""
    rng = np.random.default_rng(seed)
    start = np.arange(trials) * 1.5 + 1.0
    go = start + rng.uniform(0.25, 0.35, trials).round(4)
    which = rng.permutation(np.arange(trials) % conditions)
    clock = np.arange(0, start[-1] + 2, 0.001)
    state = np.zeros((len(clock), 2))
    for trial in range(trials):
        since = clock - go[trial]
        angle = 2 * np.pi * which[trial] / conditions + np.pi * since / 0.6
        size = np.where((since > 0) & (since < 0.9), np.sin(np.pi * np.clip(since / 0.9, 0, 1)), 0.0)
        state += size[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rates = 15 * np.exp(1.2 * state @ rng.normal(size=(2, cells)))  # events/s
    fired = rng.random(rates.shape) < rates * 0.001
    units = {f"{cell + 1}": np.round(clock[fired[:, cell]] + rng.uniform(0, 0.001, fired[:, cell].sum()), 6) for cell in range(cells)}
    return Reaches(
        units=units,
        start=start,
        stop=start + 1.25,
        go=go,
        target=np.array(sorted(TARGETS[:conditions]))[which],
        hand_times=clock[::4],
        hand=100 * state[::4] + rng.normal(size=(len(clock[::4]), 2)),
    )


def write_tables(of: Reaches, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Tables of text."""

    def table(name: str, columns: dict[str, np.ndarray]) -> str:
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        (folder / name).write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
        return str(folder / name)

    flat = {"unit": np.repeat(list(of.units), [t.size for t in of.units.values()]), "time": np.concatenate(list(of.units.values()))}
    table("spikes.csv", flat)
    trials = table("trials.csv", {"start": of.start, "stop": of.stop, "go": of.go, "target": of.target})
    hand = table("hand.csv", {"time": of.hand_times, "x": of.hand[:, 0], "y": of.hand[:, 1]})
    return folder / "spikes.csv", ("--trials", trials, "--series", f"hand={hand}")


def flat_arrays(of: Reaches) -> dict[str, np.ndarray]:
    """Flat arrays under usual names."""
    return {
        "spike_times": np.concatenate(list(of.units.values())),
        "spike_units": np.repeat([int(name) for name in of.units], [t.size for t in of.units.values()]),
        **{f"trial_{name}": getattr(of, name) for name in ("start", "stop", "go", "target")},
        "hand": of.hand,
        "hand_times": of.hand_times,
    }


def write_npz(of: Reaches, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A NumPy archive."""
    np.savez(folder / "mine.npz", **flat_arrays(of))  # type: ignore[arg-type]
    return folder / "mine.npz", ()


def write_hdf5(of: Reaches, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """HDF5, text as bytes."""
    with h5py.File(folder / "mine.h5", "w") as file:
        for name, values in flat_arrays(of).items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    return folder / "mine.h5", ()


def write_matlab_5(of: Reaches, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Version 5: cells of times, a structure of trials, columns as Matlab has them."""
    import scipy.io

    cells, target = np.empty((1, len(of.units)), dtype=object), np.empty((len(of.target), 1), dtype=object)
    for i, times in enumerate(of.units.values()):
        cells[0, i] = times[:, None]
    target[:, 0] = of.target.tolist()
    trial = {"start": of.start[:, None], "stop": of.stop[:, None], "go": of.go[:, None], "target": target}
    content = {"spike_times": cells, "unit_names": np.array(list(of.units), dtype=object), "trial": trial, "hand": of.hand, "hand_rate": 250.0}
    scipy.io.savemat(folder / "mine.mat", content)
    return folder / "mine.mat", ()


def write_matlab_73(of: Reaches, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Version 7.3, which is HDF5 behind a header, with every axis reversed and cells as references."""
    with h5py.File(folder / "mine.mat", "w", userblock_size=512) as file:
        inside = file.create_group("#refs#")

        def put(group: h5py.Group, name: str, values: Any, kind: str) -> h5py.Dataset:
            dataset = group.create_dataset(name, data=values)
            dataset.attrs["MATLAB_class"] = np.bytes_(kind)
            return dataset

        def cell(name: str, items: list[tuple[Any, str]]) -> None:
            references = np.array([put(inside, f"{name}{i}", values, kind).ref for i, (values, kind) in enumerate(items)], dtype=h5py.ref_dtype)
            put(file, name, references[:, None], "cell")

        def text(words: str) -> tuple[Any, str]:
            return np.array([[ord(letter)] for letter in words], dtype=np.uint16), "char"

        cell("spike_times", [(times[None], "double") for times in of.units.values()])
        cell("unit_names", [text(name) for name in of.units])
        cell("trial_target", [text(name) for name in of.target.tolist()])
        for name in ("start", "stop", "go"):
            put(file, f"trial_{name}", getattr(of, name)[None], "double")
        put(file, "hand", of.hand.T, "double")
        put(file, "hand_times", of.hand_times[None], "double")
    with (folder / "mine.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return folder / "mine.mat", ()


def write_nwb(of: Reaches, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """NWB, by pynwb."""
    import pynwb

    nwb = pynwb.NWBFile(session_description="reaches", identifier="x", session_start_time=datetime(2026, 1, 1, tzinfo=UTC))
    nwb.add_unit_column("unit_name", "as the sorter has it")
    for name, times in of.units.items():
        nwb.add_unit(spike_times=times, unit_name=name)
    nwb.add_trial_column("go", "cue")
    nwb.add_trial_column("target", "where to")
    for i, target in enumerate(of.target.tolist()):
        nwb.add_trial(start_time=of.start[i], stop_time=of.stop[i], go=of.go[i], target=target)
    module = nwb.create_processing_module("behavior", "x")
    module.add(pynwb.TimeSeries(name="hand", data=of.hand / 1000, unit="mm/s", conversion=1000.0, rate=250.0, starting_time=0.0))
    with pynwb.NWBHDF5IO(str(folder / "mine.nwb"), "w") as io:
        io.write(nwb)
    return folder / "mine.nwb", ()


WRITERS = {
    "csv": write_tables,
    "npz": write_npz,
    "h5": write_hdf5,
    "mat-5": write_matlab_5,
    "mat-7.3": write_matlab_73,
    "nwb": write_nwb,
}
"""What writes each kind: gives the source, and options that belong to it."""
