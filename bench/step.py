"""One full training step (forward, backward, clip, AdamW; dropout and masking on): reference loops against fused ones, in turn.

    python bench/step.py --shape S1 --threads 1 --rounds 5

Prints one JSON line: medians in seconds, their ratio, and the time of the bare matrix products of the same shapes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch

from lfads_core.config.load import resolve
from lfads_core.data.layout import session_from_arrays
from lfads_core.data.loader import SplitTensors
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.recurrence.choose import BACKENDS
from lfads_core.rng import stream
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import augmented, train_step

SHAPES = {  # trials, bins encoded, bins, channels encoded, channels, generator, controller, its encoder, encoder, factors, inputs
    "S1": (64, 100, 100, 60, 60, 100, 64, 64, 100, 40, 1),
    "S2": (256, 35, 45, 137, 182, 200, 64, 64, 64, 100, 4),
    "S3": (100, 140, 180, 122, 162, 100, 80, 80, 100, 40, 4),
    "S4": (128, 100, 100, 50, 50, 200, 0, 0, 128, 20, 0),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="S1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    step = make_step(SHAPES[args.shape])
    times: dict[str, list[float]] = {name: [] for name in BACKENDS}
    for name in BACKENDS:
        step(name)  # warm up
    for _ in range(args.rounds):
        for name in BACKENDS:
            began = time.perf_counter()
            step(name)
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in times.items()}
    floor = products(SHAPES[args.shape])
    print(
        json.dumps(
            {
                "shape": args.shape,
                "threads": args.threads,
                **{f"{name}_s": round(value, 4) for name, value in medians.items()},
                "ratio": round(medians["reference"] / medians["fused"], 2),
                "products_s": round(floor, 4),
                "fused_over_products": round(medians["fused"] / floor, 2),
            }
        )
    )


def make_step(shape: tuple[int, ...]):  # noqa: ANN201 - a closure
    """Build model and data of a shape; the returned function takes one step with the backend named."""
    trials, encoded, bins, channels, recon, generator, controller, input_encoder, encoder, factors, inputs = shape
    control = (
        [f"model.controller.hidden={controller}", f"model.controller.encoder_hidden={input_encoder}", f"model.controller.inputs={inputs}"]
        if controller
        else ["model.controller=null"]
    )
    sizes = [f"model.generator.hidden={generator}", f"model.generator.factors={factors}", f"model.encoder.hidden={encoder}"]
    registry = load_registry()
    config = resolve([], [], [*control, *sizes, f"data.batch_size={trials}"], registry)
    counts = np.random.default_rng(0).poisson(0.1, (trials, bins, recon)).astype(np.float32)
    arrays = {f"{split}_{key}": data for split in ("train", "valid") for key, data in
              {"encod_data": counts[:, :encoded, :channels], "recon_data": counts}.items()}  # fmt: skip
    session = session_from_arrays("bench", arrays)
    model = prepare_model(config, [session], registry, "cpu")
    stack, objective, optimizer = build_stacks(config, registry)[0], Objective(config.regularisation), build_optimizer(model, config.optim)
    batch = SplitTensors.from_split(session.splits["train"]).take(torch.arange(trials))

    def step(backend: str) -> None:
        model.loops = BACKENDS[backend]
        rng = stream(0, "bench")
        batches = augmented({"bench": batch}, stack, None, rng)
        noise = model.draw_noise(trials, rng, sample=True, dropout=True)
        train_step(model, objective, stack, optimizer, batches, noise, (0, config.optim.clip_norm))

    return step


def products(shape: tuple[int, ...]) -> float:
    """Seconds for the matrix products alone: one forward, twice that for the backward; step-sized where steps depend on one another."""
    trials, encoded, bins, channels, recon, generator, controller, input_encoder, encoder, factors, inputs = shape
    total = 0.0
    for hidden in (encoder, input_encoder):
        if hidden:
            total += 2 * product(trials * encoded, channels, 3 * hidden) + 2 * encoded * product(trials, hidden, 3 * hidden)
    if controller:
        total += product(trials * bins, 2 * input_encoder, 3 * controller)
        total += bins * (product(trials, controller + factors, 3 * controller) + product(trials, controller, 2 * inputs))
    total += bins * (product(trials, generator + inputs, 3 * generator) + product(trials, generator, factors))
    return 3 * (total + product(trials * bins, factors, recon))


def product(rows: int, inner: int, columns: int) -> float:
    """Median seconds of one product (rows, inner) (inner, columns)."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    times = []
    for _ in range(9):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
