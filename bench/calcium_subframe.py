"""Rates at a finer grain than frames: bins of a third of a frame with gaps (recipe `radical`) against binning to frames (recipe `zig`).

    python bench/calcium_subframe.py --minutes 3

Makes synthetic calcium data twice from one seed: the same events, on the fine grid and by frame. Trains both, with the same settings and time,
and compares with the true rates in every fine bin of the validation trials. Predictions by frame are brought to fine bins by cubic
splines through the middle of each frame. The indicator delays events, so each model's rates are shifted by the lag, in steps of a fine bin, and
scaled for each cell by the slope and offset, that suit the training trials best. R2 is the mean over cells.

Two more rows for scale: each frame's events, smoothed with a Gaussian at its best width; and the true rates averaged over frames, which is the best
that anything binned to frames could tell.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

import lfads_core
from lfads_core.config.load import resolve
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import SyntheticSpec, load_registry
from lfads_core.synth.settings import synthetic_settings
from lfads_core.synth.write import write_synthetic
from lfads_core.train.progress import Display
from lfads_plugins_std.metrics.r2 import r2_score

LAGS = range(-3, 7)  # fine bins
WIDTHS = (0.5, 1.0, 1.5, 2.0, 3.0)  # frames


def main() -> None:
    """Make data and runs unless they are there, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/calcium_subframe"), help="data and runs, made when they do not exist")
    parser.add_argument("--minutes", type=float, default=3.0, help="training time of each model")
    parser.add_argument("--seed", type=int, default=0, help="of the data")
    parser.add_argument("--data", action="append", default=[], metavar="KEY=VALUE", help="settings of the synthetic data")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="settings of both runs")
    args = parser.parse_args()
    registry = load_registry()
    for grid, recipe in (("fine", "radical"), ("frames", "zig")):
        path = args.folder / f"{grid}.h5"
        if not path.exists():
            spec = registry.get(SyntheticSpec, "calcium")
            write_synthetic(spec, synthetic_settings(spec, [*args.data, f"grid={grid}"], registry), args.seed, path)
        if not (args.folder / grid / "run.json").exists():
            overrides = [f"train.minutes={args.minutes}", "track.mlflow=false", *args.overrides]
            start_run(args.folder / grid, [path], resolve([], [recipe], overrides, registry), registry, Display())
    with h5py.File(args.folder / "fine.h5") as file:
        truth = {split: file[f"{split}_spike_rates"][()] for split in ("train", "valid")}
    with h5py.File(args.folder / "frames.h5") as file:
        events = {split: file[f"{split}_recon_data"][()] for split in ("train", "valid")}
    bins, frames = truth["train"].shape[1], events["train"].shape[1]
    fine, coarse = (lfads_core.load(args.folder / grid).outputs() for grid in ("fine", "frames"))
    rows = {
        "fine grid with gaps (radical)": {split: fine[f"{split}_output_params"] for split in truth},
        "binned to frames (zig), spline": {split: upsample(coarse[f"{split}_output_params"], bins) for split in truth},
    }
    smoothed = ({split: upsample(gaussian_filter1d(x, width, axis=1), bins) for split, x in events.items()} for width in WIDTHS)
    rows["events of frames, smoothed, spline"] = max(smoothed, key=lambda guess: compare(guess, truth)[2])
    by_frame = {split: x.reshape(len(x), frames, -1, x.shape[2]).mean(axis=2) for split, x in truth.items()}
    rows["true rates by frame, spline"] = {split: upsample(x, bins) for split, x in by_frame.items()}
    print(f"{frames} frames, {bins} fine bins, {truth['train'].shape[2]} cells, {len(truth['train'])} + {len(truth['valid'])} trials")
    print(f"{'R2 to the true rates in fine bins':36s} {'validation':>10s} {'lag (bins)':>10s}")
    for name, guess in rows.items():
        score, lag, _ = compare(guess, truth)
        print(f"{name:36s} {score:10.3f} {lag:10d}")


def upsample(values: np.ndarray, bins: int) -> np.ndarray:
    """Values in the middle of each frame (trials, frames, cells) to the middle of each fine bin."""
    frames = values.shape[1]
    middle = (np.arange(bins) + 0.5) * frames / bins - 0.5
    return CubicSpline(np.arange(frames), values, axis=1)(middle)


def compare(guess: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> tuple[float, int, float]:
    """R2 in the validation trials, the lag that suits the training trials best, and their R2."""
    best = max(LAGS, key=lambda lag: fitted(guess["train"], truth["train"], guess["train"], truth["train"], lag))
    score = fitted(guess["train"], truth["train"], guess["valid"], truth["valid"], best)
    return score, best, fitted(guess["train"], truth["train"], guess["train"], truth["train"], best)


def fitted(x: np.ndarray, y: np.ndarray, new: np.ndarray, target: np.ndarray, lag: int) -> float:
    """Mean R2 over cells of ``slope x + offset``, fitted to the first pair, on the second; x comes ``lag`` bins after y.

    The first and last bins that the largest lag cannot pair are left out for every lag, so that all are compared on the same bins.
    """
    (x, y), (new, target) = shift(x, y, lag), shift(new, target, lag)
    mean_x, mean_y = x.mean((0, 1)), y.mean((0, 1))
    slope = ((x - mean_x) * (y - mean_y)).sum((0, 1)) / np.maximum(((x - mean_x) ** 2).sum((0, 1)), 1e-12)
    return r2_score((new - mean_x) * slope + mean_y, target)


def shift(x: np.ndarray, y: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Bins t + lag of x with bins t of y, t the same for every lag."""
    first, last = -min(LAGS), y.shape[1] - max(LAGS)
    return x[:, first + lag : last + lag], y[:, first:last]


if __name__ == "__main__":
    main()
