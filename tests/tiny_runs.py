"""Fixtures that tests of several packages use: a place that plays site-packages, tiny recordings and trainings, processes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lfads_core.plugins import load_registry


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path that plays site-packages; nothing that is really installed is loaded beside it, nor kept for later tests."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("LFADS_PLUGINS", "")
    yield folder
    load_registry.cache_clear()


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Put a distribution on disk as pip leaves it: a module, METADATA, entry_points.txt. It is added to LFADS_PLUGINS."""
    names: list[str] = []

    def put(name: str, source: str, *, version: str = "1.0", entry_points: str | None = None, requires: tuple[str, ...] = ()) -> str:
        """Return the name of the module, which is new each time: Python keeps modules."""
        module = f"{name.replace('-', '_')}_{uuid.uuid4().hex}"
        (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("\n".join([*lines, ""]), encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points or f"[lfads]\n{name} = {module}\n", encoding="utf-8")
        names.append(name)
        monkeypatch.setenv("LFADS_PLUGINS", ",".join(names))
        importlib.invalidate_caches()
        return module

    return put


@pytest.fixture
def write_recording(tmp_path: Path) -> Callable[..., Path]:
    """Write arrays by key to an HDF5 file; ``write_recording("a.h5", {"train_encod_data": ...}, bin_ms=5.0)`` returns its path."""

    def write(name: str, arrays: dict[str, Any], **attributes: Any) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                file.create_dataset(key, data=values)
            file.attrs.update(attributes)
        return path

    return write


@pytest.fixture
def counts() -> dict[str, np.ndarray]:
    """Arrays of a small, faultless recording: 12 + 10 trials, 5 bins, 3 channels of counts."""
    rng = np.random.default_rng(7)
    return {f"{split}_encod_data": rng.poisson(1.0, (trials, 5, 3)).astype(np.float32) for split, trials in (("train", 12), ("valid", 10))}


TINY = (
    "model.dropout=0.3",
    "model.encoder.hidden=6",
    "model.controller.encoder_hidden=5",
    "model.controller.hidden=5",
    "model.controller.inputs=2",
    "model.generator.hidden=8",
    "model.generator.ic_size=4",
    "model.generator.factors=3",
    "data.batch_size=4",
    "data.passes=1",
    "optim.patience=6",
    "regularisation.kl_ic=2e-5",
    "regularisation.kl_inputs=2e-5",
    "regularisation.kl_ramp.increase_epochs=2",
    "regularisation.l2_ramp.increase_epochs=2",
    "train.epochs=5",
    "train.metrics_every=2",
    "train.early_stopping=100",
    "train.smoothing=0.7",
    "train.average=0",
    "train.device=cpu",
    "infer.samples=3",
    "infer.figures=false",
    "track.mlflow=false",
)
"""Settings with which an epoch takes milliseconds; figures would take ten times as long as all the rest of a run."""


@pytest.fixture(scope="session")
def tiny_settings() -> tuple[str, ...]:
    """Overrides that make a model and a training tiny; three steps an epoch on :func:`write_tiny`'s recordings."""
    return TINY


@pytest.fixture
def write_tiny(tmp_path: Path) -> Callable[..., Path]:
    """Write a recording of 12 + 6 trials, 8 bins, 5 channels of counts; further arrays and attributes by name."""

    def write(name: str = "tiny.h5", *, channels: int = 5, splits: tuple[str, ...] = ("train", "valid"), seed: int = 0, **more: Any) -> Path:
        rng = np.random.default_rng(seed)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for split in splits:
                file[f"{split}_encod_data"] = rng.poisson(1.0, ({"train": 12}.get(split, 6), 8, channels)).astype(np.float32)
            file.attrs["bin_ms"] = 10.0
            for key, value in more.items():
                if isinstance(value, np.ndarray):
                    if key in file:
                        del file[key]
                    file[key] = value
                else:
                    file.attrs[key] = value
        return path

    return write


@pytest.fixture
def train_tiny(tmp_path: Path, write_tiny: Callable[..., Path]) -> Callable[..., Any]:
    """``train_tiny("optim.lr=0.1", data=..., name="run")`` trains in ``tmp_path/runs`` and returns what ``start_run`` does."""

    def train(*overrides: str, data: Any = None, name: str = "run", registry: Any = None, plugins: tuple[str, ...] = ()) -> Any:
        from lfads_core.config.load import resolve
        from lfads_core.pipeline.run import start_run
        from lfads_core.plugins import load_registry
        from lfads_core.train.progress import Display

        registry = registry or load_registry()
        paths = [data or write_tiny()] if not isinstance(data, list) else data
        return start_run(tmp_path / "runs" / name, paths, resolve([], plugins, [*TINY, *overrides], registry), registry, Display())

    return train


@pytest.fixture
def resume(tmp_path: Path) -> Callable[..., Any]:
    """``resume("train.epochs=9")`` goes on with the run ``tmp_path/runs/run``."""

    def again(*overrides: str, name: str = "run", registry: Any = None) -> Any:
        from lfads_core.pipeline.run import resume_run
        from lfads_core.plugins import load_registry
        from lfads_core.train.progress import Display

        return resume_run(tmp_path / "runs" / name, overrides, registry or load_registry(), Display())

    return again


@pytest.fixture
def end_state() -> Callable[[Path], dict[str, Any]]:
    """Everything that must be equal, bit by bit, in two runs that should be the same; times are left out."""

    def read(run: Path) -> dict[str, Any]:
        import csv

        import torch

        found: dict[str, Any] = {}
        for which in ("best", "last"):
            manifest = json.loads((run / "checkpoints" / f"{which}.json").read_text())
            state = manifest["state"]
            state["progress"].pop("seconds")
            found[which] = state

            def flatten(tree: Any, at: str) -> None:
                if isinstance(tree, torch.Tensor):
                    found[at] = (str(tree.dtype), tuple(tree.shape), tree.numpy().tobytes())
                elif isinstance(tree, dict | list):
                    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
                        flatten(value, f"{at}/{key}")
                else:
                    found[at] = tree

            flatten(torch.load(run / "checkpoints" / manifest["tensors"], weights_only=True), which + " tensors")
        with (run / "fitlog.csv").open() as file:
            found["fitlog"] = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        for path in sorted(run.glob("lfads_output_*.h5")):
            with h5py.File(path) as file:
                found[path.name] = {key: value[()].tobytes() for key, value in file.items()}
        return found

    return read


@pytest.fixture
def lfads(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """``lfads("run", ...)`` starts the command in a process of its own, in ``tmp_path``; what still runs at the end is killed.

    The process finds no matplotlib and no MLflow, which are extras; ``without`` names what else it must not find.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path, without: tuple[str, ...] = ("matplotlib", "mlflow"), **more: Any) -> subprocess.Popen[str]:
        hide = f"import sys; sys.modules.update(dict.fromkeys({without!r})); from lfads_core.cli.main import main; main()"
        command = [sys.executable, "-c", hide, *map(str, arguments)]
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": tmp_path, "text": True, **more}
        started.append(subprocess.Popen(command, **more))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdout, process.stderr, process.stdin):
            if pipe is not None:
                pipe.close()
        process.wait()
