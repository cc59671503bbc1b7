"""What ``train.precision: bf16`` changes on the Lorenz data of ``lfads demo``: one step's outputs and gradients, and where trainings end.

    python bench/precision.py --epochs 20 --seeds 0 1 2 --recurrence fused compiled

A step is compared at the fresh weights and at those that a float32 training ends with, on the same batch and noise. Ramps take 10 epochs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from lfads_core.augment.stack import augmented
from lfads_core.model.build import build_stacks
from lfads_core.model.lfads import LFADS
from lfads_core.model.outputs import ModelOutput
from lfads_core.objective.total import Objective
from lfads_core.plugins import load_registry
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.recurrence.precision import mixed
from lfads_core.rng import stream
from lfads_core.train.loop import fit
from lfads_core.train.optim import gradient_norms, named_gradients
from lfads_core.train.trainer import Trainer
from lfads_plugins_lab.bench.problem import BenchProblem, first_batch, load_problem

RAMP = 10
"""Epochs in which the prices of KL and L2 rise."""


def main() -> None:
    """Print both comparisons for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recurrence", nargs="+", default=["fused", "compiled"], help="backends to compare a step with; the last one trains")
    options = parser.parse_args()
    if options.epochs <= RAMP:
        parser.error(f"--epochs must be above {RAMP}, for nothing is judged while the ramps rise, got {options.epochs}.")
    torch.set_num_threads(1)
    for seed in options.seeds:
        settings = (
            *(f"train.recurrence={options.recurrence[-1]}", f"train.seed={seed}", f"train.epochs={options.epochs}", "train.early_stopping=null"),
            *(f"regularisation.{ramp}.increase_epochs={RAMP}" for ramp in ("kl_ramp", "l2_ramp")),
        )
        problems = [load_problem("lorenz", [], load_registry(), (*settings, f"train.precision={kind}")) for kind in ("float32", "bf16")]
        fresh = problems[0].model()
        with tempfile.TemporaryDirectory() as folder:
            trainers = [trained(problem, Path(folder) / problem.config.train.precision) for problem in problems]
        costs = [trainer.progress.best.cost for trainer in trainers]
        print(f"seed {seed}: best smoothed validation cost float32 {costs[0]:.5f}, bf16 {costs[1]:.5f}", flush=True)
        for name in options.recurrence:
            for weights, model in (("fresh", fresh), ("trained", trainers[0].model)):
                model.loops = choose_recurrence(name, problems[0].device)
                print(f"seed {seed}, {name}, {weights} weights: {compared(problems[0], model)}", flush=True)


def compared(problem: BenchProblem, model: LFADS) -> str:
    """One step in both precisions: loss, outputs, gradients."""
    config = problem.config
    stack, objective = build_stacks(config, problem.registry)[0], Objective(config.regularisation)
    found = []
    for precision in ("float32", "bf16"):
        model.precision = precision
        rng = stream(0, "bench")
        batches = augmented(first_batch(problem), stack, config.model.encoder.ic_bins, rng)
        noise = model.draw_noise(sum(batch.trials.shape[0] for batch in batches.values()), rng, sample=True, dropout=True)
        model.zero_grad()
        with mixed(model.precision, model.device):
            output = model(batches, noise)
        losses = objective(model, batches, output, noise, stack, 10_000)
        losses.total.backward()
        found.append(
            (float(losses.total.detach()), tensors(output), dict(named_gradients(model)), torch.stack(list(gradient_norms(model).values())).norm())
        )
    model.precision = "float32"
    (loss, outputs, gradients, norm), (other_loss, other_outputs, other_gradients, other_norm) = found
    worst = max((float((other_outputs[name] - value).abs().max() / value.abs().max()), name) for name, value in outputs.items())
    products = sum(float((gradients[name] * other_gradients[name]).sum()) for name in gradients)
    cosines = {name: float(torch.cosine_similarity(g.flatten(), other_gradients[name].flatten(), 0)) for name, g in gradients.items() if g.any()}
    single = min((cosine, name) for name, cosine in cosines.items())
    return (
        f"loss {abs(other_loss / loss - 1):.1e} relative, largest difference of an output {worst[0]:.1e} of its largest value ({worst[1]}), "
        f"cosine of the gradients 1 - {1 - products / float(norm * other_norm):.1e}, of a single parameter's at least {single[0]:.5f} ({single[1]})"
    )


def tensors(output: ModelOutput) -> dict[str, torch.Tensor]:
    """All that a pass hands on, by name."""

    def walk(value: object, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(value, torch.Tensor):
            yield name, value.detach()
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{name}.{key}")
        elif hasattr(value, "__dataclass_fields__"):
            for key in value.__dataclass_fields__:
                yield from walk(getattr(value, key), f"{name}.{key}")

    return {name.removeprefix("."): value for name, value in walk(output, "") if value.is_floating_point() and value.numel()}


def trained(problem: BenchProblem, folder: Path) -> Trainer:
    """A whole training in a folder of its own."""
    trainer = problem.trainer(folder)
    fit(trainer, lambda *_: None, lambda: False)
    return trainer


if __name__ == "__main__":
    main()
