"""Checks an environment that holds only the wheels of the six packages; run by ``nox -s wheels``.

Exits with a sentence and status 1 at the first thing that is not as a user would need it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import metadata, resources, util
from pathlib import Path

import h5py
import numpy as np

DISTS = ("lfads_core", *(f"lfads_plugins_{name}" for name in ("std", "calcium", "emg", "tune", "lab")))
EXTRAS = {"ray": "tune", "pynwb": "nwb"}
LFADS = str(Path(sys.executable).parent / "lfads")


def need(holds: object, sentence: str) -> None:
    """Stop with ``sentence`` unless ``holds``."""
    if not holds:
        sys.exit(f"check_wheels: {sentence}")


def lfads(*arguments: str, folder: Path) -> str:
    """Run the command in ``folder`` and return all it printed."""
    done = subprocess.run([LFADS, *arguments], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    printed = done.stdout + done.stderr
    need(done.returncode == 0, f"`lfads {' '.join(arguments)}` exited with {done.returncode}:\n{printed}")
    return printed


def check_files() -> None:
    """Each wheel is typed, carries its licence and README, and was not taken from the source tree."""
    for dist in DISTS:
        need((resources.files(dist) / "py.typed").is_file(), f"{dist} has no py.typed")
        meta = metadata.distribution(dist)
        names = [str(path) for path in meta.files or ()]
        need(any(name.endswith("LICENSE") for name in names), f"the wheel of {dist} has no LICENSE")
        need(len(str(meta.metadata.get_payload())) > len(dist) + 40, f"the wheel of {dist} has no README")
        need("site-packages" in str(resources.files(dist)), f"{dist} was imported from {resources.files(dist)}, not from its wheel")
    for module in EXTRAS:
        need(util.find_spec(module) is None, f"{module} is installed, so this environment cannot show that it is optional")


def write_recording(path: Path) -> None:
    """Write 24 + 8 trials of 20 bins of 6 Poisson channels."""
    rng = np.random.default_rng(0)
    rates = 0.3 + 0.25 * np.sin(np.linspace(0, 6, 20))[None, :, None] * np.ones((32, 1, 6))
    counts = rng.poisson(rates).astype(np.float32)
    with h5py.File(path, "w") as file:
        for split, rows in (("train", counts[:24]), ("valid", counts[24:])):
            file[f"{split}_encod_data"] = rows
            file[f"{split}_recon_data"] = rows


def check_command(folder: Path) -> None:
    """Plugins are listed, a run trains and infers, and each missing extra is named with the command that brings it."""
    listed = json.loads(lfads("plugins", "list", "--json", folder=folder))
    text = json.dumps(listed)
    for name in ("poisson", "normal", "coordinated-dropout", "zig", "gamma"):
        need(f'"{name}"' in text, f"`lfads plugins list` does not offer {name!r}")
    write_recording(folder / "tiny.h5")
    printed = lfads("run", "tiny.h5", "--set", "train.epochs=2", "--set", "data.batch_size=12", folder=folder)
    print(printed)
    need(list(folder.glob("runs/*/lfads_output_*.h5")), "`lfads run` wrote no output file")
    need(list(folder.glob("runs/*/fitlog.csv")), "`lfads run` wrote no fitlog.csv")
    looked = lfads("doctor", folder=folder)
    for module, extra in EXTRAS.items():
        need(f'pip install "lfads-core[{extra}]"' in looked, f"`lfads doctor` did not say what brings {module}")
    lfads("eval", "runs/tiny", folder=folder)
    lfads("report", "runs/tiny", folder=folder)
    need("<canvas" in (folder / "runs/tiny/report.html").read_text(encoding="utf-8"), "`lfads report` made no page")


if __name__ == "__main__":
    check_files()
    with tempfile.TemporaryDirectory() as place:
        check_command(Path(place))
    print("check_wheels: all six wheels work without " + ", ".join(EXTRAS))
