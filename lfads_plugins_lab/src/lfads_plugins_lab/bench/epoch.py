"""``lfads bench epoch``: whole epochs as ``lfads run`` trains them, validation and checkpoints included."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import attrs

from lfads_core.plugins.registry import Registry
from lfads_core.train.device import use_cpu
from lfads_core.train.evaluate import EpochResult
from lfads_core.train.loop import fit
from lfads_core.train.trainer import Trainer
from lfads_plugins_lab.bench.clock import summary, wait_for
from lfads_plugins_lab.bench.problem import BenchProblem, load_problem
from lfads_plugins_lab.bench.result import Options, Result, against_reference

BATCHES = 4
"""Batches of an epoch where a shape brings its own data."""


def bench_epoch(config: str, data: Sequence[Path], options: Options, registry: Registry) -> Result:
    """Epochs of a trainer for each path, in turn; the first of each warms up and does not count."""
    use_cpu(options.threads)
    problem = load_problem(config, data, registry, options.overrides, batches=BATCHES)
    times: dict[str, list[float]] = {path: [] for path in options.paths}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {path: trainer_of(problem, path, Path(folder)) for path in options.paths}
        for number in range(options.rounds + 1):
            for path, trainer in trainers.items():
                took = one_epoch(trainer, problem.device)
                if number > 0:
                    times[path].append(took)
    trials = sum(s.splits["train"].trials for s in problem.sessions)
    paths = {name: {**summary(took), "trials_per_s": round(trials / sorted(took)[len(took) // 2], 1)} for name, took in times.items()}
    return Result(config=problem.name, device=problem.device, paths=against_reference(paths), more={"trials": trials})


def trainer_of(problem: BenchProblem, path: str, folder: Path) -> Trainer:
    """A trainer of fresh weights that trains and validates on the loops of a backend."""
    config = attrs.evolve(problem.config, train=attrs.evolve(problem.config.train, recurrence=path))
    return replace(problem, config=config).trainer(folder / path)


def one_epoch(trainer: Trainer, device: str, results: list[EpochResult] | None = None) -> float:
    """Seconds of the trainer's next epoch, whose result is added to ``results``."""
    config = trainer.config
    trainer.config = attrs.evolve(config, train=attrs.evolve(config.train, epochs=trainer.progress.epoch + 1))
    wait_for(device)
    began = time.perf_counter()
    fit(trainer, lambda ended: None if results is None else results.append(ended), lambda: False)
    wait_for(device)
    return time.perf_counter() - began
