"""Is it right? Loops at real sizes against float64 on the CPU, and whole passes against the reference on the device."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from asked import Asked

from lfads_core.augment.stack import augmented
from lfads_core.model.build import build_stacks
from lfads_core.objective.total import Objective
from lfads_core.recurrence import reference, triton_controlled, triton_gru
from lfads_core.recurrence.choose import BACKENDS
from lfads_core.recurrence.triton_launch import LAUNCHES, version_of
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights
from lfads_core.rng import stream
from lfads_plugins_lab.bench.machine import machine
from lfads_plugins_lab.bench.problem import first_batch

MOST = {"float64": 1e-9, "ieee": 2e-4, "tf32": 2e-2, "bf16": 8e-2}
"""Largest difference of a tensor, of its norm, that is rounding after some hundred bins."""
OF_A_PASS = {"reference": 0.0, "fused": 1e-3, "triton": 1e-3, "triton-tf32": 5e-2, "triton-bf16": 0.5}
"""The same of a parameter's gradient after a whole pass: rounding that moved one state across the clip shows in small gradients."""
LOOPS = {"gru": (triton_gru.gru, reference.gru), "controlled": (triton_controlled.controlled, reference.controlled)}
Case = tuple[str, tuple[Any, ...], dict[str, Any]]


def info(asked: Asked) -> None:
    """What the machine is, and what a launch costs the host."""
    parts = {"machine": lambda: machine(asked.device), "versions": _versions}
    asked.each("info", parts | {"card": functools.partial(_card, asked), "launch": functools.partial(_launch, asked)})


def _versions() -> dict[str, Any]:
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    node = Path("/dev/nvidiactl").exists()
    return {"triton": version_of("triton"), "python": sys.version.split()[0], "compiler": compiler, "cores": os.cpu_count(), "node": node}


def _card(asked: Asked) -> dict[str, Any]:
    if asked.dry:
        return {}
    of = torch.cuda.get_device_properties(0)
    asks = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.mem,clocks.max.sm,power.draw,driver_version", "--format=csv,noheader"]
    said = subprocess.run(asks, capture_output=True, text=True, check=False).stdout.strip() if shutil.which("nvidia-smi") else "no nvidia-smi"
    names = ("name", "major", "minor", "multi_processor_count", "shared_memory_per_block_optin", "L2_cache_size", "total_memory")
    return {name: getattr(of, name, None) for name in names} | {"now": said}


def _launch(asked: Asked) -> dict[str, float]:
    """Microseconds of an operation that does nearly nothing: of the host alone, and with the device."""
    value, count = torch.zeros(4, device=asked.device), 20 if asked.dry else 5000
    for _ in range(count // 10):
        value.add_(1)
    if not asked.dry:
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(count):
        value.add_(1)
    host = time.perf_counter() - began
    if not asked.dry:
        torch.cuda.synchronize()
    return {"us of the host": round(1e6 * host / count, 2), "us": round(1e6 * (time.perf_counter() - began) / count, 2)}


def right(asked: Asked) -> None:
    """Every loop in every arithmetic: finite though memory that nobody wrote is NaN, near float64, the same to the bit when run again."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)  # fills new memory with NaN
    warnings.simplefilter("ignore")
    number, of = asked.part
    known: dict[Any, list[torch.Tensor]] = {}
    work = {
        f"{name}, {products}": functools.partial(_compared, asked, given, products, known)
        for i, (name, given) in enumerate(cases(tiny=asked.dry).items())
        if i % of == number
        for products in MOST
        if products != "float64" or "odd" in name
    }
    asked.each(f"right-{number}", work)


def _compared(asked: Asked, case: Case, products: str, known: dict[Any, list[torch.Tensor]]) -> dict[str, Any]:
    """``known`` keeps what the reference found, which is the same for most arithmetics."""
    loop, given, how = case
    ours, theirs = LOOPS[loop]
    if products in {"tf32", "bf16"}:  # a state beside the clip falls on either side of it, and its gradient is all or nothing
        how = how | {"clip": max(5.0, how["clip"])}
    dtype, arithmetic = (torch.float64, "ieee") if products == "float64" else (torch.float32, products)
    there = moved(given, lambda value: value.detach().to(asked.device, dtype).requires_grad_(value.requires_grad))
    LAUNCHES.refusal = None
    first, *again = (outcome(ours, there, products=arithmetic, **how) for _ in range(2 if asked.dry else 4))
    key = id(case), how["clip"]
    wanted = known[key] if key in known else known.setdefault(key, outcome(theirs, given, **how))
    finite = all(bool(one.isfinite().all()) for one in first)
    pairs = [(one.cpu().double(), other) for one, other in zip(first, wanted, strict=True) if other.numel()]
    far = max(float((one - other).norm() / other.norm().clamp(min=1e-30)) for one, other in pairs)
    same = all(torch.equal(one, other) for others in again for one, other in zip(first, others, strict=True))
    fine = finite and same and LAUNCHES.refusal is None and far < MOST[products]
    return {"right": fine, "difference": far, "finite": finite, "same again": same, "refused": LAUNCHES.refusal}


def cases(*, tiny: bool) -> dict[str, Case]:
    """Loops with their arguments in float64 on the CPU: odd sizes, clipped, reversed, strided; and the published sizes."""
    if tiny:
        return {
            "odd gru": gru((), 3, 3, 3, 19, clip=0.4, reverse=True, strided=True),
            "gru of members": gru((2,), 3, 3, 2, 20),
            "odd loop": closed((), 3, 2, 5, 19, 2, 3, external=1, clip=0.4),
            "loop of members": closed((2,), 3, 2, 5, 20, 1, 3, plain=True),
        }
    return {
        "odd gru, clipped, reversed, strided": gru((), 37, 23, 3, 19, clip=0.4, reverse=True, strided=True),
        "odd loop, clipped, external inputs": closed((), 35, 21, 5, 19, 2, 3, external=2, clip=0.4),
        "loop without masks and noise": closed((3,), 19, 11, 64, 100, 1, 40, plain=True),
        "gru of S1, both directions": gru((2,), 64, 100, 60, 100),
        "gru of S1, 32 members": gru((64,), 64, 20, 60, 100),
        "generator of S4": gru((), 128, 100, 1, 200),
        "gru, one trial of 300 bins": gru((), 1, 300, 4, 128),
        "loop of S1": closed((), 64, 100, 64, 100, 1, 40),
        "loop of S2": closed((), 256, 45, 64, 200, 4, 100),
        "loop of S3": closed((), 100, 180, 80, 100, 4, 40),
        "loop of S1, 32 members": closed((32,), 64, 12, 64, 100, 1, 40),
        "loop of S2, 32 members": closed((32,), 256, 3, 64, 200, 4, 100),
    }


def normal(*shape: int, scale: float = 1.0, grad: bool = True) -> torch.Tensor:
    """Numbers that a float32 holds, as float64."""
    return (scale * torch.randn(*shape, generator=stream(0, "gpu session", *shape))).double().requires_grad_(grad)


def cell(members: Sequence[int], reads: int, units: int) -> GRUWeights:
    """Weights as large as a model's at its start."""
    scale = (reads + units) ** -0.5
    wide = normal(*members, 3 * units, reads, scale=scale)
    return GRUWeights(input=wide, recurrent=normal(*members, 3 * units, units, scale=scale), bias=normal(*members, 3 * units, scale=0.3))


def gru(members: tuple[int, ...], *sizes: int, clip: float = 5.0, reverse: bool = False, strided: bool = False) -> Case:
    """A GRU of so many trials, bins, inputs, units; ``strided`` input lies in memory as a caller's tensors may."""
    trials, bins, reads, units = sizes
    x = normal(*members, bins, trials, reads).detach().movedim(-3, -2).requires_grad_() if strided else normal(*members, trials, bins, reads)
    return "gru", (x, normal(*members, trials, units), cell(members, reads, units)), {"clip": clip, "reverse": reverse}


def closed(m: tuple[int, ...], *sizes: int, external: int = 0, plain: bool = False, clip: float = 5.0) -> Case:
    """Controller and generator of so many members; trials, bins, units of both, inputs, factors. ``plain`` has no masks and no noise."""
    trials, bins, con, gen, inputs, factors = sizes
    ci = 8

    def mask(width: int) -> torch.Tensor | None:
        return None if plain else (normal(*m, trials, bins, width, grad=False) > -0.5).double() / 0.7

    first = normal(*m, 1, con).expand(*m, trials, con).detach().requires_grad_()  # the same for all trials, as a model's is
    start = DecoderStart(generator=normal(*m, trials, gen), factors=normal(*m, trials, factors), controller=first)
    noise = None if plain else normal(*m, trials, bins, inputs, grad=False)
    reads, external_inputs = normal(*m, trials, bins, ci), normal(*m, trials, bins, external)
    drive = DecoderDrive(ci=reads, external=external_inputs, noise=noise, con_mask=mask(ci + factors), state_mask=mask(gen))
    weights = DecoderWeights(
        controller=cell(m, ci + factors, con),
        posterior=normal(*m, 2 * inputs, con, scale=0.2),
        posterior_bias=normal(*m, 2 * inputs, scale=0.2),
        generator=cell(m, inputs + external, gen),
        factors=normal(*m, factors, gen, scale=gen**-0.5),
    )
    return "controlled", (start, drive, weights), {"clip": clip}


def tensors(*values: Any) -> Iterator[torch.Tensor]:
    """All of them, in order."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from tensors(*value)
        elif is_dataclass(value):
            yield from tensors(*(getattr(value, field.name) for field in fields(value)))


def moved(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same arguments with every tensor changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(moved(one, change) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: moved(getattr(value, field.name), change) for field in fields(value)})
    return value


def outcome(loop: Callable[..., Any], given: tuple[Any, ...], **how: Any) -> list[torch.Tensor]:
    """Outputs, then gradients of a number that every entry of them moves differently."""
    out = list(tensors(loop(*given, **how)))
    up = [torch.linspace(-1, 1, one.numel(), dtype=one.dtype, device=one.device).view(one.shape) for one in out]
    leaves = [one for one in tensors(*given) if one.requires_grad]
    grads = torch.autograd.grad(out, leaves, up, allow_unused=True)
    return [*(one.detach() for one in out), *(torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True))]


def agree(asked: Asked) -> None:
    """Loss and gradients of a whole pass on the same trials and noise: every path against ``reference`` on this device."""
    configs = ("S1", "S4") if asked.dry else ("S1", "S2", "S3", "S4")
    asked.each("agree", {name: functools.partial(_passes, asked, name) for name in configs})


def _passes(asked: Asked, name: str) -> dict[str, Any]:
    problem = asked.problem(name)
    model, config = problem.model(), problem.config
    stack, objective = build_stacks(config, problem.registry)[0], Objective(config.regularisation)
    rng = stream(0, "agree", device=model.device)
    batches = augmented(first_batch(problem), stack, config.model.encoder.ic_bins, rng)
    noise = model.draw_noise(sum(batch.trials.shape[0] for batch in batches.values()), rng, sample=True, dropout=True)
    found: dict[str, Any] = {}
    wanted: dict[str, torch.Tensor] = {}
    for path in ("reference", "fused", "triton", "triton-tf32", "triton-bf16"):
        model.loops = BACKENDS[path]
        model.zero_grad(set_to_none=True)
        LAUNCHES.refusal = None
        total = objective(model, batches, model(batches, noise), noise, stack, 0).total
        total.backward()
        got = {key: (torch.zeros_like(value) if value.grad is None else value.grad).double() for key, value in model.named_parameters()}
        got["loss"] = total.detach().double()
        wanted = wanted or got
        far = {key: float((got[key] - value).norm() / value.norm().clamp(min=1e-12)) for key, value in wanted.items()}
        worst = max(far, key=lambda key: far[key] if far[key] == far[key] else float("inf"))
        found[path] = {"loss": far["loss"], "worst": far[worst], "of": worst, "refused": LAUNCHES.refusal}
    return found | {"right": all(row["worst"] <= OF_A_PASS[path] and not row["refused"] for path, row in found.items())}
