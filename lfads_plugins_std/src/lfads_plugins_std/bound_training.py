"""Train the network behind the data ``integration-to-bound``: ``python -m lfads_plugins_std.bound_training OUT.npz``.

The task: add up noisy evidence u until it reaches a bound, then stay there.

    s(t+1) = s(t) + u(t) dt / T0 until |s| >= 1, then s = sign(s);    loss = mean over trials and bins of (c . r(t) - s(t))^2

by Adam through time, from a weakly coupled random network. Takes some minutes on one core; the weights that are installed came from here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lfads_plugins_std.bound_settings import BIN_MS, TAU_MS, TIME_TO_BOUND_S

Weights = dict[str, Tensor]


def evidence_sum(evidence: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """What the network is to report in every bin."""
    total = torch.zeros(len(evidence), dtype=evidence.dtype)
    reported = []
    for t in range(evidence.shape[1]):
        moved = total + evidence[:, t] * (BIN_MS / 1000) / TIME_TO_BOUND_S
        total = torch.where(total.abs() >= 1, total, moved).clamp(-1, 1)
        reported.append(total)
    return torch.stack(reported, dim=1)


def start_weights(units: int, rng: torch.Generator) -> Weights:
    """A network with g = 0.9: it forgets, but slowly."""
    return {
        "recurrent": 0.9 * torch.randn(units, units, generator=rng) / units**0.5,
        "into": torch.randn(units, 1, generator=rng),
        "bias": torch.zeros(units),
        "out": torch.randn(units, generator=rng) / units,
    }


def reported(weights: Weights, evidence: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """What the network reports, from rest."""
    state = torch.zeros(len(evidence), len(weights["bias"]))
    out = []
    for t in range(evidence.shape[1]):
        drive = torch.tanh(state) @ weights["recurrent"].T + evidence[:, t : t + 1] @ weights["into"].T + weights["bias"]
        state = state + BIN_MS / TAU_MS * (drive - state)
        out.append(torch.tanh(state) @ weights["out"])
    return torch.stack(out, dim=1)


def draw_evidence(trials: int, bins: int, rng: torch.Generator) -> Float[Tensor, "B T"]:
    """Trials of every strength of evidence and of noise that the data may ask for."""
    mean = torch.rand(trials, 1, generator=rng) * 2 - 1
    spread = torch.rand(trials, 1, generator=rng) * 2
    return mean + spread * torch.randn(trials, bins, generator=rng)


def train(units: int = 50, steps: int = 3000, trials: int = 64, bins: int = 100, seed: int = 0) -> tuple[Weights, list[float]]:
    """Return weights and the loss of every step; the learning rate falls from 3e-3 to 3e-5 on a cosine."""
    rng = torch.Generator().manual_seed(seed)
    weights = {name: value.requires_grad_() for name, value in start_weights(units, rng).items()}
    optimiser = torch.optim.Adam(weights.values(), lr=3e-3)
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-5 + (3e-3 - 3e-5) * (1 + np.cos(np.pi * step / steps)) / 2
        evidence = draw_evidence(trials, bins, rng)
        loss = (reported(weights, evidence) - evidence_sum(evidence)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    return {name: value.detach() for name, value in weights.items()}, losses


def main(arguments: list[str]) -> None:
    """Train and write a file of weights."""
    parser = argparse.ArgumentParser(
        prog="python -m lfads_plugins_std.bound_training", description="Train a network to integrate evidence to a bound."
    )
    parser.add_argument("output", type=Path, help="file to write (.npz)")
    parser.add_argument("--units", type=int, default=50)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    weights, losses = train(options.units, options.steps, seed=options.seed)
    found = {name: value.numpy() for name, value in weights.items()}
    np.savez_compressed(options.output, recurrent=found["recurrent"], into=found["into"], bias=found["bias"], out=found["out"])
    sys.stdout.write(f"wrote {options.output}: mean squared error {np.mean(losses[-100:]):.4f} over the last 100 steps\n")


if __name__ == "__main__":
    main(sys.argv[1:])
