"""How well held-out muscles are predicted: LFADS with the recipe `emg` beside simple references, on the same validation trials.

    lfads run envelopes.h5 --plugin emg --hold-out 0.25 --minutes 5 --name emg
    python bench/emg_reference.py envelopes.h5 runs/emg

A quarter of the channels is hidden from the encoders by the rule of `--hold-out`; everything is fitted to training trials and scored
on validation trials. Each prediction is a mean per bin and channel; its likelihood is gamma with that mean and one shape per channel,
fitted to the training trials too, so that all are priced alike ("nats": mean negative log-likelihood per value, lower is better; "R2": of the
raw envelopes, mean over channels). References: each channel's own gamma distribution; the Gaussian-smoothed held-in envelopes mapped to the
held-out ones by ridge regression, and by a gamma regression with a log link (ten more numbers per channel, fitted by Adam), each at the kernel
width and penalty that predict best within the training trials (last fifth).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage, optimize, special

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.hold_out import hold_out_channels
from lfads_plugins_std.metrics.r2 import r2_score
from lfads_plugins_std.metrics.ridge import fit_ridge

WIDTHS_MS = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
PENALTIES = (1.0, 100.0, 1e4)
FLOOR = 1e-3  # of predicted means; the envelopes of the recording have the same


def gamma_cost(mean: np.ndarray, data: np.ndarray, shape: np.ndarray) -> float:
    """Mean negative log density of gamma values with these means and one shape per channel, in nats."""
    rate = shape / mean
    return float(np.mean(special.gammaln(shape) - shape * np.log(rate) - (shape - 1) * np.log(data) + rate * data))


def fit_shapes(mean: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Most likely shape of each channel, given the means."""
    shapes = []
    for n in range(data.shape[-1]):
        ratio = data[..., n] / mean[..., n]
        gap = ratio.mean() - np.log(ratio).mean() - 1  # = ln k - digamma(k) at the optimum
        shapes.append(math.exp(optimize.brentq(lambda s, gap=gap: s - special.digamma(math.exp(s)) - gap, -12, 12)))
    return np.array(shapes)


def smooth(x: np.ndarray, width_bins: float) -> np.ndarray:
    """Smooth each trial and channel over time."""
    return ndimage.gaussian_filter1d(x, width_bins, axis=1, mode="nearest")


Predictor = Callable[[np.ndarray], np.ndarray]


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> Predictor:
    """Linear map of flattened features to held-out channels, by least squares."""
    fit = fit_ridge(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), penalty)
    return lambda z: np.maximum(fit(z.reshape(-1, z.shape[-1])), FLOOR).reshape(*z.shape[:-1], -1)


def log_link(x: np.ndarray, y: np.ndarray, penalty: float) -> Predictor:
    """Gamma regression, ln mean = b + w · [x, ln x]: for the mean the shape does not matter."""

    def features(z: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.concatenate([z, np.log(np.maximum(z, FLOOR)), np.ones_like(z[..., :1])], axis=-1))

    inputs, target = features(x), torch.as_tensor(y)
    weights = torch.zeros(inputs.shape[-1], y.shape[-1], dtype=inputs.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        log_mean = inputs @ weights
        loss = (log_mean + target * torch.exp(-log_mean)).mean() + penalty * 1e-6 * weights.square().sum()
        loss.backward()
        optimizer.step()
    fitted = weights.detach()
    return lambda z: np.maximum(torch.exp(features(z) @ fitted).numpy(), FLOOR)


def best(kind: Callable[..., Predictor], train: tuple[np.ndarray, np.ndarray], bin_ms: float) -> tuple[float, float]:
    """Kernel width and penalty that predict the last fifth of the training trials best from the others."""
    held_in, held_out = train
    cut = round(0.8 * len(held_in))
    costs = {}
    for width in WIDTHS_MS:
        x = smooth(held_in, width / bin_ms)
        for penalty in PENALTIES:
            predict = kind(x[:cut], held_out[:cut], penalty)
            shapes = fit_shapes(predict(x[:cut]), held_out[:cut])
            costs[width, penalty] = gamma_cost(predict(x[cut:]), held_out[cut:], shapes)
    return min(costs, key=lambda key: costs[key])


def references(train: tuple[np.ndarray, np.ndarray], valid: np.ndarray, bin_ms: float) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, predictions on training trials (for the shapes), predictions on validation trials."""
    held_in, held_out = train
    mean = held_out.mean(axis=(0, 1))
    yield "each channel's own gamma", np.broadcast_to(mean, held_out.shape), np.broadcast_to(mean, (*valid.shape[:2], mean.size))
    for name, kind in (("smoothing + ridge", ridge), ("smoothing + gamma regression", log_link)):
        width, penalty = best(kind, train, bin_ms)
        x = smooth(held_in, width / bin_ms)
        predict = kind(x, held_out, penalty)
        yield f"{name} ({width:g} ms)", predict(x), predict(smooth(valid, width / bin_ms))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="*", help="finished runs on the same file with --hold-out")
    parser.add_argument("--hold-out", type=float, default=0.25)
    options = parser.parse_args()
    torch.set_num_threads(1)
    session = hold_out_channels(read_hdf5(options.data, dtype=np.float64), options.hold_out, 0)
    seen = session.splits["train"].encod.shape[2]
    train, valid = (session.splits[name] for name in ("train", "valid"))
    out_train, out_valid = train.recon[..., seen:], valid.recon[..., seen:]
    rows = list(references((train.encod, out_train), valid.encod, session.bin_ms or 1.0))
    rows += [(f"LFADS, {run.name}", *lfads(run, seen)) for run in options.runs]
    print(f"{out_valid.shape[2]} held-out channels, {len(out_valid)} validation trials\n\n| prediction | nats | R2 |\n|---|---|---|")
    for name, of_train, of_valid in rows:
        cost = gamma_cost(of_valid, out_valid, fit_shapes(of_train, out_train))
        print(f"| {name} | {cost:.4f} | {r2_score(of_valid, out_valid):.3f} |")


def lfads(run: Path, seen: int) -> tuple[np.ndarray, np.ndarray]:
    """A run's expected values of held-out channels, training and validation trials."""
    import lfads_core

    outputs = lfads_core.load(run).outputs()
    means = (np.maximum(outputs[f"{split}_output_params"][..., seen:].astype(np.float64), FLOOR) for split in ("train", "valid"))
    return next(means), next(means)


if __name__ == "__main__":
    main()
