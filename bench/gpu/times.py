"""How fast is it? Kernels alone, steps, populations, validation, inference, whole trainings, and where a step's time goes."""

from __future__ import annotations

import functools
import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from asked import Asked
from torch.profiler import ProfilerActivity, profile

from lfads_core.infer.posterior import infer_split
from lfads_core.model.build import build_stacks
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.recurrence.triton_launch import LAUNCHES, card_of
from lfads_core.train.data import put_on
from lfads_core.train.loop import step_together
from lfads_plugins_lab.bench.clock import wait_for
from lfads_plugins_lab.bench.epoch import trainer_of
from lfads_plugins_lab.bench.population import lone_trainer, steps_in_shards
from lfads_plugins_lab.bench.problem import BenchProblem, first_batch, make_steps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import time_to_quality
import triton_resources

PUBLISHED = ("S1", "S2", "S3", "S4")
PATHS = ("triton", "triton-bf16", "triton-tf32", "fused", "reference")
MEMBERS = 32
CAPTURED = {"": "train.cuda_graph=false", " captured": "train.cuda_graph=true"}


def looped(problem: BenchProblem, path: str) -> dict[str, str]:
    """What ran in the place of a path that could not."""
    chosen = choose_recurrence(path, problem.device).name
    return ({} if chosen == path else {"ran": chosen}) | ({"refused": LAUNCHES.refusal} if LAUNCHES.refusal else {})


def steps(asked: Asked) -> None:
    """A training step of one model on every path, as it is and captured; bf16 also for all products of the model."""
    names = ("S1", "S4") if asked.dry else PUBLISHED
    ways = [(name, path, more) for name in names for path in PATHS for more in CAPTURED if not (path == "reference" and more)]
    work = {f"{name} {path}{more}": functools.partial(_step, asked, name, path, CAPTURED[more]) for name, path, more in ways}
    for name in names:
        for more, setting in CAPTURED.items():
            work[f"{name} triton-bf16 precision bf16{more}"] = functools.partial(_step, asked, name, "triton-bf16", setting, "train.precision=bf16")
    asked.each("steps", work)


def _step(asked: Asked, name: str, path: str, *settings: str) -> dict[str, Any]:
    problem = asked.problem(name, *settings)
    LAUNCHES.refusal = None
    found = asked.rate(make_steps(problem, [path], problem.model(), first_batch(problem))[path], 1.0)
    return found | looped(problem, path)


def population(asked: Asked) -> None:
    """A step of many members at once."""
    members = 2 if asked.dry else MEMBERS
    work = {
        f"{name} {path}{more}": functools.partial(_together, asked, name, path, setting, members)
        for name in (("S1",) if asked.dry else ("S1", "S2"))
        for path in ("triton", "triton-bf16")
        for more, setting in CAPTURED.items()
    }
    asked.each("population", work)


def _together(asked: Asked, name: str, path: str, setting: str, members: int) -> dict[str, Any]:
    problem = asked.problem(name, setting)
    LAUNCHES.refusal = None
    with steps_in_shards(problem, members, [path], 1) as ways:
        found = asked.rate(ways[path], 1.5)
    return found | {"ms a member": round(found["ms"] / members, 4)} | looped(problem, path)


def kernels(asked: Asked) -> None:
    """Microseconds a bin of each kernel of a step alone, as it is launched for one model and for many members."""
    work: dict[str, Callable[[], Any]] = {}
    for name in ("S1",) if asked.dry else PUBLISHED:
        for members in (1,) if asked.dry else (1, MEMBERS) if name in {"S1", "S2"} else (1,):
            for products in ("ieee", "bf16"):
                work[f"{name} x{members} {products}"] = functools.partial(_alone, asked, name, products, members)
    asked.each("kernels", work)


def _alone(asked: Asked, name: str, products: str, members: int) -> dict[str, Any]:
    shape = triton_resources.TINY if asked.dry else triton_resources.SHAPES[name]
    card, found = card_of(torch.device(asked.device)), {}
    for what, recorder in triton_resources.recorded(shape, products, torch.float32, members, card, asked.device):
        grid, arguments, options = recorder.calls[0]
        run = functools.partial(recorder.kernel[grid], *arguments, **options)
        way = recorder.kernel.fn.__name__.rpartition("_")[2]
        found[f"{what} {way}"] = {"us a bin": round(1e3 * asked.rate(run, 0.4)["ms in a row"] / shape.bins, 3), "programs": grid[0] * grid[1]}
    return found


def inference(asked: Asked) -> None:
    """A validation of all trials, and averages over posterior samples of it."""
    work: dict[str, Callable[[], Any]] = {}
    for name in ("S1",) if asked.dry else ("S1", "lorenz"):
        for path in ("triton", "fused") if asked.dry else ("triton", "triton-bf16", "fused"):
            work[f"{name} {path} validation"] = functools.partial(_validation, asked, name, path)
            work[f"{name} {path} inference"] = functools.partial(_inference, asked, name, path)
    asked.each("inference", work)


def _validation(asked: Asked, name: str, path: str) -> dict[str, Any]:
    problem = asked.problem(name)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(problem, path, Path(folder))
        sources = trainer.data.splits["valid"]
        found = asked.rate(lambda: trainer.validator(trainer.model, sources, 0, predict=False), 1.0)
    return found | {"trials": sum(source.trials for source in sources.values())} | looped(problem, path)


def _inference(asked: Asked, name: str, path: str) -> dict[str, Any]:
    problem = asked.problem(name)
    model, settings = problem.model(), problem.config
    model.loops, stack = choose_recurrence(path, problem.device), build_stacks(settings, problem.registry)[1]
    sources, seed = put_on(problem.device, problem.sessions).splits["valid"], settings.train.seed
    found = asked.rate(
        lambda: infer_split(model, stack, sources, samples=settings.infer.samples, batch_size=settings.infer.batch_size, seed=seed), 1.0
    )
    work = sum(source.trials for source in sources.values()) * (settings.infer.samples or 1)
    return found | {"trials x samples a second": round(1e3 * work / found["ms"])} | looped(problem, path)


def quality(asked: Asked) -> None:
    """Epochs of the demo's network on several paths, an epoch each in turn: seconds to shares of the way to the best R2 to the true rates."""
    ways = {f"{path}{more}": (path, setting) for path in ("triton", "triton-bf16") for more, setting in CAPTURED.items()} | {
        f"fused{more}": ("fused", setting) for more, setting in CAPTURED.items()
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    curves: dict[str, list[float]] = {way: [] for way in ways}
    shape, name = ("S1", "co_bps") if asked.dry else ("lorenz", "r2_truth")
    with tempfile.TemporaryDirectory() as folder:
        problems = {way: asked.problem(shape, *time_to_quality.EVERY_EPOCH, setting) for way, (_, setting) in ways.items()}
        trainers = {way: trainer_of(problems[way], path, Path(folder) / way) for way, (path, _) in ways.items()}
        for _ in range(1 if asked.dry else 60):
            if asked.late():
                break
            for way, trainer in trainers.items():
                took, value = time_to_quality.scored_epoch(trainer, problems[way], name)
                seconds[way].append(took)
                curves[way].append(value)
    best = max((value for curve in curves.values() for value in curve), default=0.0)
    asked.keep("quality", {way: _reached(seconds[way], curve, best) for way, curve in curves.items() if curve})


def _reached(seconds: list[float], curve: list[float], best: float) -> dict[str, Any]:
    """When a curve was so far on its way; the first epoch compiles kernels and captures steps, so the median epoch stands beside the sums."""
    found: dict[str, Any] = {"epochs": len(curve), "s an epoch": round(statistics.median(seconds), 4), "s of the first": round(seconds[0], 2)}
    for share in (0.5, 0.9, 0.95, 0.99):
        at = next((i for i, value in enumerate(curve) if value >= curve[0] + share * (best - curve[0])), None)
        found[f"s to {share:.0%}"] = None if at is None else round(sum(seconds[: at + 1]), 2)
    return found | {"best": max(curve), "every fifth": [round(value, 4) for value in curve[::5]]}


def trace(asked: Asked) -> None:
    """Where a step's time goes on the device and on the host, of one model and of many members."""
    asked.each("trace", {f"{members} members": functools.partial(_traced, asked, members) for members in (1, 2 if asked.dry else MEMBERS)})


def _traced(asked: Asked, members: int) -> dict[str, Any]:
    problem = asked.problem("S1", CAPTURED[""])
    with tempfile.TemporaryDirectory() as folder:
        going = {number: lone_trainer(problem, number, Path(folder)) for number in range(members)}
        raw = first_batch(problem)
        for trainer in going.values():
            trainer.model.loops = choose_recurrence("triton", problem.device)

        def step() -> None:
            step_together(going, dict.fromkeys(going, (0, raw)))

        for _ in range(1 if asked.dry else 4):
            step()
        wait_for(asked.device)
        count = 1 if asked.dry or members > 1 else 3
        with profile(activities=[ProfilerActivity.CPU, *([] if asked.dry else [ProfilerActivity.CUDA])]) as seen:
            began = time.perf_counter()
            for _ in range(count):
                step()
            wait_for(asked.device)
            wall = (time.perf_counter() - began) / count
        events, raw_file = seen.key_averages(), Path(folder) / "trace.json"
        by = "self_cpu_time_total" if asked.dry else "self_cuda_time_total"
        (asked.out / f"profile-{members}.txt").write_text(events.table(sort_by=by, row_limit=40, max_name_column_width=60)[:60000], encoding="utf-8")
        seen.export_chrome_trace(str(raw_file))
        if members == 1:
            (asked.out / "trace-1.json.gz").write_bytes(gzip.compress(raw_file.read_bytes()))
        kinds = [event.get("cat") for event in json.loads(raw_file.read_text(encoding="utf-8"))["traceEvents"]]
    device = sum(getattr(event, "self_device_time_total", 0.0) for event in events if "cuda" in str(event.device_type).lower())
    return {
        "ms": round(1e3 * wall, 2),
        "ms of the device": round(device / 1e3 / count, 3),
        "kernels": sum(kind == "kernel" for kind in kinds) / count,
    }
