"""How much sooner a model is as good with one way of computing the loops than with another, in R2 to the true rates or in co-bps.

    OMP_WAIT_POLICY=passive python bench/time_to_quality.py [--epochs 60] [--ways compiled:2 reference:1]
    OMP_WAIT_POLICY=passive python bench/time_to_quality.py --data FILE.h5 --score co_bps --set data.hold_out.fraction=0.25

A way is a backend and a number of CPU threads. All train from the same seed, an epoch each in turn, validation and checkpoints included, so that
a busy moment of the machine meets all of them; scoring is not timed. Without ``--data`` it is the network of `lfads demo` on its Lorenz data, else
the defaults on a recording. A target is a share of the way from the first epoch's score to the best that the first of the ways reaches.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from lfads_core.plugins import load_registry
from lfads_core.train.device import use_cpu
from lfads_core.train.evaluate import EpochResult, score
from lfads_core.train.trainer import Trainer
from lfads_plugins_lab.bench.epoch import one_epoch, trainer_of
from lfads_plugins_lab.bench.problem import BenchProblem, load_problem

TARGETS = (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
EVERY_EPOCH = ("train.early_stopping=null", "train.metrics_every=1")


def scored_epoch(trainer: Trainer, problem: BenchProblem, name: str) -> tuple[float, float]:
    """Seconds of a trainer's next epoch, and what its validation trials then score."""
    ended: list[EpochResult] = []
    seconds = one_epoch(trainer, problem.device, ended)
    return seconds, score(ended[0].validation.means, problem.sessions, "valid", trainer.model, problem.registry)[name]


def main() -> None:
    """Train, then print when each way reached each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--ways", nargs="+", default=["compiled:2", "reference:1"], help="BACKEND:THREADS, the quickest first")
    parser.add_argument("--data", type=Path, help="a recording, trained on with the defaults")
    parser.add_argument("--set", action="append", default=[], help="a setting for all of them")
    parser.add_argument("--score", default="r2_truth", help="of validation trials; more is better")
    options = parser.parse_args()
    ways = {way: (way.partition(":")[0], int(way.partition(":")[2])) for way in options.ways}
    use_cpu(1)
    registry = load_registry()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    curves: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        config, data = "lorenz", []
        if options.data is not None:
            (as_it_comes := Path(folder) / "settings.yaml").write_text("{}\n", encoding="utf-8")
            config, data = str(as_it_comes), [options.data]
        problem = load_problem(config, data, registry, (*EVERY_EPOCH, *options.set))
        trainers = {way: trainer_of(problem, backend, Path(folder) / str(i)) for i, (way, (backend, _)) in enumerate(ways.items())}
        for _ in range(options.epochs):
            for way, trainer in trainers.items():
                torch.set_num_threads(ways[way][1])
                took, value = scored_epoch(trainer, problem, options.score)
                seconds[way].append(took)
                curves[way].append(value)
    first, *others = ways
    apart = max(abs(a - b) for way in others for a, b in zip(curves[way], curves[first], strict=True)) if others else 0.0
    print(f"largest difference of {options.score} in an epoch: {apart:.1e}", flush=True)
    print(f"| target | {options.score} |" + "".join(f" {way}: epoch | s |" for way in ways) + "".join(f" {way} / {first} |" for way in others))
    start, best = curves[first][0], max(curves[first])
    for share in TARGETS:
        target = start + share * (best - start)
        reached = {way: next((i for i, value in enumerate(curves[way]) if value >= target - 1e-6), None) for way in ways}
        took = {way: None if at is None else sum(seconds[way][: at + 1]) for way, at in reached.items()}
        cells = [("", "never") if at is None else (str(at + 1), f"{took[way]:.1f}") for way, at in reached.items()]
        ratios = [f"{of / took[first]:.2f}" if (of := took[way]) is not None and took[first] else "" for way in others]
        print(
            f"| {100 * share:.0f} % | {target:.4f} |" + "".join(f" {at} | {s} |" for at, s in cells) + "".join(f" {one} |" for one in ratios),
            flush=True,
        )


if __name__ == "__main__":
    main()
