"""How much sooner the network of `lfads demo` is as good on its Lorenz data with one way of computing the loops than with another.

    OMP_WAIT_POLICY=passive python bench/time_to_quality.py [--epochs 60] [--ways compiled:2 reference:1]

A way is a backend and a number of CPU threads. All train from the same seed, an epoch each in turn, validation and checkpoints included, so that
a busy moment of the machine meets all of them. Quality is the smoothed reconstruction cost of the validation trials; a target is a
share of the way from the first epoch's to the best that the first of the ways reaches.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from lfads_core.plugins import load_registry
from lfads_core.train.device import use_cpu
from lfads_plugins_lab.bench.epoch import one_epoch, trainer_of
from lfads_plugins_lab.bench.problem import load_problem

TARGETS = (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
COST = "valid/recon_smooth"


def main() -> None:
    """Train, then print when each way reached each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--ways", nargs="+", default=["compiled:2", "reference:1"], help="BACKEND:THREADS, the quickest first")
    options = parser.parse_args()
    ways = {way: (way.partition(":")[0], int(way.partition(":")[2])) for way in options.ways}
    use_cpu(1)
    problem = load_problem("lorenz", [], load_registry(), ("train.early_stopping=null",))
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {way: trainer_of(problem, backend, Path(folder) / str(i)) for i, (way, (backend, _)) in enumerate(ways.items())}
        rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(options.epochs):
            for way, trainer in trainers.items():
                torch.set_num_threads(ways[way][1])
                seconds[way].append(one_epoch(trainer, problem.device, rows[way]))
    curves = {way: [row[COST] for row in found] for way, found in rows.items()}
    first, *others = ways
    apart = max(abs(a - b) / abs(b) for way in others for a, b in zip(curves[way], curves[first], strict=True)) if others else 0.0
    print(f"largest relative difference of the curves: {apart:.1e}", flush=True)
    print("| target | nats a bin |" + "".join(f" {way}: epoch | s |" for way in ways) + "".join(f" {way} / {first} |" for way in others))
    start, best = curves[first][0], min(curves[first])
    for share in TARGETS:
        target = start + share * (best - start)
        reached = {way: next((i for i, cost in enumerate(curves[way]) if cost <= target * (1 + 1e-6)), len(curves[way]) - 1) for way in ways}
        took = {way: sum(seconds[way][: reached[way] + 1]) for way in ways}
        print(
            f"| {100 * share:.0f} % | {target:.4f} |"
            + "".join(f" {reached[way] + 1} | {took[way]:.1f} |" for way in ways)
            + "".join(f" {took[way] / took[first]:.2f} |" for way in others),
            flush=True,
        )


if __name__ == "__main__":
    main()
