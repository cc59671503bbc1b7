"""``lfads bench population``: a step of several members at once."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import attrs
import torch

from lfads_core.errors import RunError
from lfads_core.plugins.registry import Registry
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.train.captured import graphs_for
from lfads_core.train.device import use_cpu
from lfads_core.train.loop import step_together
from lfads_core.train.shards import shards_of, threads_of
from lfads_core.train.step import Failures
from lfads_core.train.trainer import Trainer
from lfads_plugins_lab.bench.clock import in_turn, summary
from lfads_plugins_lab.bench.problem import WARM_UP, BenchProblem, first_batch, load_problem
from lfads_plugins_lab.bench.result import Options, Result, against_reference


def bench_population(config: str, data: Sequence[Path], options: Options, registry: Registry, *, members: int) -> Result:
    """One step of as many members, each with a seed of its own, in the shards and threads of a training, on every path in turn."""
    use_cpu(options.threads)
    problem = load_problem(config, data, registry, options.overrides)
    with steps_in_shards(problem, members, options.paths, options.threads) as steps:
        times = in_turn(steps, options.rounds, problem.device, warm_up=WARM_UP if graphs_for(problem.config, torch.device(problem.device)) else 1)
    paths = {name: {**summary(took), "per_member_s": round(statistics.median(took) / members, 5)} for name, took in times.items()}
    return Result(config=problem.name, device=problem.device, paths=against_reference(paths), more={"members": members})


@contextmanager
def steps_in_shards(problem: BenchProblem, members: int, paths: Sequence[str], threads: int) -> Iterator[dict[str, Callable[[], None]]]:
    """One step of as many members on each path, in the shards and threads of a training; the threads end with the context."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = [lone_trainer(problem, number, Path(folder)) for number in range(members)]
        shards = shards_of(trainers, threads)
        each = threads_of(trainers, shards, threads)
        with ThreadPoolExecutor(min(threads // each, len(shards)), initializer=use_cpu, initargs=(each,)) as pool:
            yield {path: step_in_shards(problem, trainers, path, shards, pool) for path in paths}


def lone_trainer(problem: BenchProblem, seed: int, folder: Path) -> Trainer:
    """A training of its own in a folder of its own."""
    config = attrs.evolve(problem.config, train=attrs.evolve(problem.config.train, seed=seed))
    return replace(problem, config=config).trainer(folder / str(seed))


def step_in_shards(
    problem: BenchProblem, trainers: Sequence[Trainer], path: str, shards: Sequence[Sequence[int]], pool: ThreadPoolExecutor
) -> Callable[[], None]:
    """One step of every trainer on a path, its shards shared out among the pool's threads."""
    loops, raw = choose_recurrence(path, problem.device), first_batch(problem)
    graphs = {shard[0]: graphs_for(problem.config, torch.device(problem.device)) for shard in shards}

    def train(shard: Sequence[int]) -> Failures:
        return step_together({i: trainers[i] for i in shard}, dict.fromkeys(shard, (0, raw)), graphs[shard[0]])

    def step() -> None:
        for trainer in trainers:
            trainer.model.loops = loops
        if failed := [error for errors in pool.map(train, shards) for error in errors.values()]:
            raise RunError(f"a member's step must succeed to be timed, got: {failed[0]}. Give other settings.")

    return step
