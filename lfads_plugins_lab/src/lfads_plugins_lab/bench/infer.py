"""``lfads bench infer``: averages over posterior samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lfads_core.infer.posterior import infer_split
from lfads_core.model.build import build_stacks
from lfads_core.plugins.registry import Registry
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.train.data import put_on
from lfads_core.train.device import use_cpu
from lfads_plugins_lab.bench.clock import in_turn, summary
from lfads_plugins_lab.bench.problem import load_problem
from lfads_plugins_lab.bench.result import Options, Result, against_reference


def bench_infer(config: str, data: Sequence[Path], options: Options, registry: Registry) -> Result:
    """Infer the validation split with as many samples as the settings say, every path in turn."""
    use_cpu(options.threads)
    problem = load_problem(config, data, registry, options.overrides)
    model = problem.model()
    settings, stack = problem.config, build_stacks(problem.config, registry)[1]
    sources = put_on(problem.device, problem.sessions).splits["valid"]

    def way(path: str) -> Callable[[], None]:
        loops = choose_recurrence(path, problem.device)

        def infer() -> None:
            model.loops = loops
            infer_split(model, stack, sources, samples=settings.infer.samples, batch_size=settings.infer.batch_size, seed=settings.train.seed)

        return infer

    times = in_turn({path: way(path) for path in options.paths}, options.rounds, problem.device)
    work = sum(source.trials for source in sources.values()) * (settings.infer.samples or 1)
    paths = {name: {**summary(took), "trials_x_samples_per_s": round(work / sorted(took)[len(took) // 2], 1)} for name, took in times.items()}
    return Result(config=problem.name, device=problem.device, paths=against_reference(paths), more={"samples": settings.infer.samples})
