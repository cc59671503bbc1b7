"""``lfads bench step``: one whole training step."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from lfads_core.plugins.registry import Registry
from lfads_core.train.device import use_cpu
from lfads_plugins_lab.bench.clock import in_turn, summary
from lfads_plugins_lab.bench.floor import products_floor
from lfads_plugins_lab.bench.peak import peak_memory
from lfads_plugins_lab.bench.problem import WARM_UP, first_batch, load_problem, make_steps
from lfads_plugins_lab.bench.result import Options, Result, against_reference


def bench_step(config: str, data: Sequence[Path], options: Options, registry: Registry) -> Result:
    """Forward, backward, clip and AdamW with dropout and masks drawn anew, every path in turn; peak memory of each apart."""
    use_cpu(options.threads)
    problem = load_problem(config, data, registry, options.overrides)
    model = problem.model()
    steps = make_steps(problem, options.paths, model, first_batch(problem))
    times = in_turn(steps, options.rounds, problem.device, warm_up=WARM_UP)
    floor = products_floor(problem.shape(model), problem.device)
    memory = {path: peak_memory(config, data, options.overrides, path, options.threads) if options.memory else {} for path in options.paths}
    paths = {name: {**summary(took), **memory[name], "over_products": round(statistics.median(took) / floor, 2)} for name, took in times.items()}
    return Result(config=problem.name, device=problem.device, paths=against_reference(paths), products_s=round(floor, 5))
