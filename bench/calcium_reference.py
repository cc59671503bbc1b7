"""ZIG LFADS against simple references on real deconvolved events: held-out cells and behaviour.

    python bench/calcium_reference.py ../shared/data/calcium_offline_ensembles_run.h5 --minutes 4

A quarter of the cells is held out. All numbers are of the validation trials, in the order of the file.

* Negative log-likelihood per value of the held-out cells under a zero-inflated gamma. The first reference is one constant ZIG per cell
  (maximum likelihood). The second predicts the chance of an event in each bin by logistic regression from the other cells' events,
  smoothed with a Gaussian; width and L2 penalty are the best of a grid by 4-fold cross-validation within the training trials; sizes of
  events are constant per cell.
* Behaviour decoded by ridge regression (penalty by cross-validation within the training trials), from factors that never saw the
  held-out cells, and from the smoothed events of all cells at the width that is best for each variable within the training trials.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

import lfads_core
from lfads_core.config.load import resolve
from lfads_core.data.session import Session
from lfads_core.infer.loading import LoadedRun
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import load_registry
from lfads_core.train.data import read_for
from lfads_core.train.progress import Display
from lfads_plugins_calcium.settings import ZIGConfig
from lfads_plugins_calcium.zig import ZeroInflatedGamma
from lfads_plugins_std.metrics.behaviour import decode, decode_within

WIDTHS = (2, 4, 6, 8, 12, 16)  # bins, standard deviation
PENALTIES = (1e-3, 1e-2, 1e-1)  # on the squared weights, summed over cells
FOLDS = 4


def main() -> None:
    """Train unless the run is there, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, default=Path("runs/calcium_reference"), help="run folder, trained when it does not exist")
    parser.add_argument("--minutes", type=float, default=4.0, help="training time")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="settings of the run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not (args.run / "run.json").exists():
        registry = load_registry()
        overrides = ["data.hold_out.fraction=0.25", f"train.minutes={args.minutes}", "track.mlflow=false", *args.overrides]
        start_run(args.run, [args.data], resolve([], ["zig"], overrides, registry), registry, Display())
    run = lfads_core.load(args.run)
    (session,) = read_for(run.config, [args.data], run.registry)
    print(f"{'held-out cells':42s} NLL per value (nats)   bits per event over constant")
    scores = likelihoods(run, session)
    events = float(np.mean(session.splits["valid"].recon[..., session.splits["valid"].encod.shape[2] :] > 0))
    for name, value in scores.items():
        print(f"{name:42s} {value:20.5f}   {(scores['constant ZIG'] - value) / events / np.log(2):28.3f}")
    print(f"\n{'behaviour R2':42s} " + "  ".join(f"{name:>12s}" for name in ("cos position", "sin position", "speed")))
    for name, values in decoding(run, session).items():
        print(f"{name:42s} " + "  ".join(f"{value:12.3f}" for value in values))


def likelihoods(run: LoadedRun, session: Session) -> dict[str, float]:
    """Mean NLL of the held-out cells' validation values."""
    train, valid = session.splits["train"], session.splits["valid"]
    held_in = train.encod.shape[2]
    cells = ZeroInflatedGamma(ZIGConfig(), train.recon.shape[2] - held_in).double()
    target, test = torch.as_tensor(train.recon[..., held_in:]).double(), torch.as_tensor(valid.recon[..., held_in:]).double()
    constant = fit_constant(cells, target)
    result = {"constant ZIG": nll(cells, constant.expand(*test.shape, 3), test)}

    happened = target > 0
    best = (np.inf, 0, 0.0)
    fold = np.arange(len(target)) % FOLDS
    for width in WIDTHS:
        x = smooth(train.encod, width)
        for penalty in PENALTIES:
            cost = 0.0
            for k in range(FOLDS):
                predict = fit_logistic(x[fold != k], happened[fold != k], penalty)
                cost += torch.nn.functional.binary_cross_entropy_with_logits(predict(x[fold == k]), happened[fold == k].double()).item()
            best = min(best, (cost, width, penalty))
    _, width, penalty = best
    logit = fit_logistic(smooth(train.encod, width), happened, penalty)(smooth(valid.encod, width))
    params = torch.cat([constant[:, :2].expand(*test.shape, 2), logit[..., None]], dim=-1)
    result[f"smoothed cells ({width} bins) -> logistic"] = nll(cells, params, test)

    with torch.no_grad():
        factors = torch.as_tensor(run.outputs()["valid_factors"])
        losses = run.model.reconstructions[session.name].nll(run.model.read_out(session.name, factors), torch.as_tensor(valid.recon))
        result["LFADS"] = losses[..., held_in:].double().mean().item()
    return result


def fit_constant(part: ZeroInflatedGamma, data: torch.Tensor) -> torch.Tensor:
    """One set of parameters per cell, by maximum likelihood, within the scales that the part starts with."""
    params = part.start_from(data).clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([params], max_iter=200, line_search_fn="strong_wolfe")

    def cost() -> torch.Tensor:
        optimizer.zero_grad()
        loss = part.nll(params.expand(*data.shape, 3), data).mean() * data.shape[-1]
        loss.backward()
        return loss

    optimizer.step(cost)
    return params.detach()


def nll(part: ZeroInflatedGamma, params: torch.Tensor, data: torch.Tensor) -> float:
    """Mean over all values."""
    with torch.no_grad():
        return part.nll(params, data).mean().item()


def fit_logistic(x: torch.Tensor, happened: torch.Tensor, penalty: float):  # noqa: ANN201 - a function of x
    """L2-regularised logistic regression of every cell at once; inputs are standardised."""
    mean, std = x.mean((0, 1)), x.std((0, 1)) + 1e-6
    weight = torch.zeros(happened.shape[-1], x.shape[-1], dtype=x.dtype, requires_grad=True)
    bias = torch.logit(happened.double().mean((0, 1)).clamp(1e-4, 1 - 1e-4)).requires_grad_(True)
    z, y = (x - mean) / std, happened.to(x.dtype)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=40, line_search_fn="strong_wolfe")

    def cost() -> torch.Tensor:
        optimizer.zero_grad()
        logit = torch.nn.functional.linear(z, weight, bias)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, y) * y.shape[-1] + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(cost)
    w, b = weight.detach(), bias.detach()
    return lambda new: torch.nn.functional.linear((new - mean) / std, w, b)


def smooth(events: np.ndarray, width: float) -> torch.Tensor:
    """Gaussian over time, within trials."""
    return torch.as_tensor(gaussian_filter1d(events.astype(np.float64), width, axis=1, mode="nearest"))


def decoding(run: LoadedRun, session: Session) -> dict[str, list[float]]:
    """R2 of cos and sin of the belt position (150 cm round) and of speed."""
    train, valid = session.splits["train"], session.splits["valid"]
    targets = [(behaviour(train.extras["behavior"], k), behaviour(valid.extras["behavior"], k)) for k in range(3)]
    outputs = run.outputs()
    reference, widths = [], []
    for before, after in targets:
        width = max(WIDTHS, key=lambda w: float(decode_within(smooth(train.recon, w).numpy(), before)[0]))
        widths.append(width)
        reference.append(float(decode(smooth(train.recon, width).numpy(), before, smooth(valid.recon, width).numpy(), after)[0]))
    lfads = [float(decode(outputs["train_factors"], before, outputs["valid_factors"], after)[0]) for before, after in targets]
    return {f"all cells smoothed ({', '.join(map(str, widths))} bins) -> ridge": reference, "LFADS factors -> ridge": lfads}


def behaviour(values: np.ndarray, which: int) -> np.ndarray:
    """Cosine or sine of the position, or speed; (trials, bins, 1)."""
    angle = values[..., :1] * (2 * np.pi / 150)
    return (np.cos(angle), np.sin(angle), values[..., 1:2])[which]


if __name__ == "__main__":
    main()
