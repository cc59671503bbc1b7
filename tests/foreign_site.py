"""The stranger's packages of ``tests/foreign/package``, installed for tests, and the command line to try them with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner, Result

from lfads_core.plugins import load_registry

DISTRIBUTION = "lab-jpca 1.0 (entry point 'jpca')"

NAMES = {
    ("command", "jpca"),
    ("command", "data jpca"),
    ("tracker", "lines"),
    ("executor", "mine"),
    ("search", "halving"),
    ("report section", "jpca"),
    ("report", "rotations"),
    ("exporter", "npz"),
    ("recording format", "foo"),
    ("foreign settings", "jpca-2019"),
    ("settings", "mine"),
    ("settings", "rotations"),
    ("recurrence", "mine"),
    ("doctor check", "licence-server"),
    ("rotation", "skew"),
}
"""What lab-jpca offers."""

SETTINGS = """
model: {encoder: {hidden: 4}, controller: {encoder_hidden: 4, hidden: 4, inputs: 1}, generator: {hidden: 4, ic_size: 4, factors: 2}}
data: {batch_size: 4}
regularisation: {kl_ramp: {increase_epochs: 2}, l2_ramp: {increase_epochs: 2}}
train: {epochs: 3, metrics_every: 2, device: cpu, threads: 1, recurrence: fused}
infer: {samples: 2}
track: {mlflow: false}
search: {min_improvement: null, retries: 0}
"""


@dataclass(frozen=True)
class Tiny:
    """A recording, settings with which an epoch takes milliseconds, and the file in which lab-jpca writes what it hears."""

    data: Path
    yaml: Path
    diary: Path


def write_site(folder: Path) -> Path:
    """Put the distributions on disk as pip leaves them."""
    shutil.copytree(Path(__file__).parent / "foreign/package", folder, ignore=shutil.ignore_patterns("__pycache__", "README.md"))
    for name, version, point in (("lab-jpca", "1.0", "jpca"), ("lab-planes", "2.0", "planes"), ("lab-dynamics", "1.0", "dynamics")):
        module = name.replace("-", "_")
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[lfads]\n{point} = {module}.plugin\n")
    return folder


def write_tiny(folder: Path) -> Tiny:
    """A recording of 12 + 10 trials, 8 bins and 5 channels of counts."""
    rng = np.random.default_rng(0)
    tiny = Tiny(folder / "tiny.h5", folder / "tiny.yaml", folder / "diary.jsonl")
    with h5py.File(tiny.data, "w") as file:
        for split, trials in (("train", 12), ("valid", 10)):
            file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype(np.float32)
        file.attrs["bin_ms"] = 10.0
    tiny.yaml.write_text(SETTINGS)
    return tiny


def write_foo(path: Path) -> Path:
    """A recording of the lab's rig: 20 trials of a second, 3 units."""
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 20, 600))
    plain = {"times": times, "units": rng.integers(3, size=600), "start": np.arange(20.0), "stop": np.arange(20.0) + 1.0}
    path.write_text(json.dumps({name: values.tolist() for name, values in plain.items()}))
    return path


def lfads(*arguments: object, code: int | None = 0) -> Result:
    """Run a command in this process, with what is installed now; no traceback is ever shown."""
    load_registry.cache_clear()
    result = CliRunner().invoke(_cli(), [str(argument) for argument in arguments], prog_name="lfads")
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert code is None or result.exit_code == code, result.output
    return result


def _cli() -> object:
    from lfads_core.cli.main import cli

    return cli
