"""Synthetic EMG with shared artefacts: which reconstruction, with and without temporal shift, comes nearest to the true activations?

    python bench/emg_artefacts.py

Makes one file with `lfads synth emg`, trains each variant for the same number of epochs from the recipe `emg`, and prints R2 of the inferred
means of the validation trials to the true activations, mean over channels: in all bins, in those an artefact struck, in the quiet ones. The
first line is the recipe; in the others there are no random gains, which the published settings lack too. The Gaussian sees the same
envelopes, the Poisson rounded multiples of them (it takes counts only), as people did before there was a gamma.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from lfads_plugins_emg.settings import TemporalShiftConfig
from lfads_plugins_std.metrics.r2 import r2_score

COUNTS = 10.0  # a Poisson count for each tenth of a channel's mean activation
SHIFT = TemporalShiftConfig().std
KINDS = ("gamma", "gaussian", "poisson")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the data, as of `lfads synth emg`")
    parser.add_argument(
        "--shifts", type=float, nargs="*", help="the gamma alone, without random gains, with these standard deviations of the shift in bins"
    )
    options = parser.parse_args()
    variants = [("gamma", SHIFT, True), *((kind, std, False) for kind in KINDS for std in (SHIFT, 0.0))]
    if options.shifts is not None:
        variants = [("gamma", std, False) for std in options.shifts]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "emg.h5"
        lfads("synth", "emg", "-o", str(data), "--seed", str(options.seed), *(part for text in options.set for part in ("--set", text)))
        counts = as_counts(data, Path(folder) / "counts.h5")
        print("| reconstruction | temporal shift | random gains | R2, all bins | struck | quiet |\n|---|---|---|---|---|---|", flush=True)
        for kind, std, gains in variants:
            found = train(counts if kind == "poisson" else data, kind, std, options, gains=gains)
            scores = compare(data, found / COUNTS if kind == "poisson" else found)
            print(f"| {kind} | {std or 'no'} | {'yes' if gains else 'no'} | " + " | ".join(f"{s:.3f}" for s in scores) + " |", flush=True)


def train(data: Path, kind: str, std: float, options: argparse.Namespace, *, gains: bool) -> np.ndarray:
    """Inferred means of the validation trials; no shift where ``std`` is 0."""
    name = f"{kind}-{std}-{gains}"
    parts = [*([f"{{name: temporal-shift, std: {std}}}"] if std else []), "coordinated-dropout", *(["random-gain"] if gains else [])]
    lfads(
        "run", str(data), "--plugin", "emg", "--runs", str(data.parent), "--name", name,
        "--set", f"components.reconstruction={kind}", "--set", f"components.train_augmentations=[{', '.join(parts)}]",
        "--set", f"train.epochs={options.epochs}", "--set", f"train.seed={options.seed}", "--set", "track.mlflow=false",
    )  # fmt: skip
    with h5py.File(data.parent / name / f"lfads_output_{data.stem}.h5") as file:
        return file["valid_output_params"][()].astype(np.float64)


def compare(data: Path, means: np.ndarray) -> tuple[float, float, float]:
    """R2 over all bins, over those with an artefact in any channel, over the others."""
    with h5py.File(data) as file:
        truth, struck = file["valid_truth"][()].astype(np.float64), file["valid_artefacts"][()].any(axis=2)
    return r2_score(means, truth), r2_score(means[struck], truth[struck]), r2_score(means[~struck], truth[~struck])


def as_counts(data: Path, path: Path) -> Path:
    """Write the file with rounded multiples of the envelopes."""
    with h5py.File(data) as source, h5py.File(path, "w") as file:
        for key, value in source.items():
            values = value[()]
            file[key] = np.rint(COUNTS * values) if key.endswith(("encod_data", "recon_data")) else values
        file.attrs.update(source.attrs)
    return path


def lfads(*arguments: str) -> None:
    """Run the command; its output is shown only when it fails."""
    done = subprocess.run([sys.executable, "-m", "lfads_core.cli.main", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
