"""How many operations a training step would launch on a GPU, counted without one.

    python bench/step_operations.py --config S1 S2 --members 1 32 --verbose
    python bench/step_operations.py --captured
    python bench/step_operations.py --validation --captured

Every operation below autograd that would launch a kernel is counted as torch hands it out: those that make views or memory cost no launch, and
a ``_foreach`` or fused one counts once, as do Triton's kernels, which are not run. Sizes are tiny: numbers of operations do not depend on them.
``--searched`` gives each member a rate of coordinated dropout and L2 scales of its own, as a search with the suggested spaces does.
``--captured`` counts a replay as one operation, beside what goes on around it; ``--validation`` counts a batch of a validation, not a step.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from lfads_core.components.batch import Batch
from lfads_core.data.loader import SplitTensors
from lfads_core.plugins import load_registry
from lfads_core.recurrence import triton_controlled_kernels, triton_gru_kernels, triton_launch
from lfads_core.recurrence.choose import BACKENDS
from lfads_core.train import finite_checks, graphs, step
from lfads_core.train.captured import StepGraphs
from lfads_core.train.evaluate import Tally, validate_each
from lfads_core.train.loop import step_together
from lfads_core.train.step import Failures
from lfads_core.train.trainer import Trainer
from lfads_plugins_lab.bench import shapes
from lfads_plugins_lab.bench.population import lone_trainer
from lfads_plugins_lab.bench.problem import BenchProblem, first_batch, load_problem
from lfads_plugins_std import poisson
from lfads_plugins_tune.search.paths import member_config

FREE = {
    "_local_scalar_dense", "_record_function_enter_new", "_record_function_exit", "_reshape_alias", "_unsafe_view", "alias", "as_strided",
    "chunk", "detach", "diagonal", "empty", "empty_like", "empty_strided", "expand", "lift_fresh", "movedim", "narrow", "new_empty",
    "new_empty_strided", "permute", "resize_", "select", "set_", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind",
    "unflatten", "unfold", "unsqueeze", "view",
}  # fmt: skip
"""Operations that launch nothing."""
KERNELS = {triton_gru_kernels: ("gru_forward", "gru_backward"), triton_controlled_kernels: ("controlled_forward", "controlled_backward")}


class Counted(TorchDispatchMode):
    """Counts what would launch a kernel, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, then run."""
        name = function.overloadpacket.__name__
        if name not in FREE:
            self.found[name] += 1
        return function(*args, **(kwargs or {}))


class Launched:
    """Stands in for a Triton kernel: counts its launches and leaves memory as it is."""

    def __init__(self, name: str, found: Counter[str]) -> None:
        self.name, self.found = name, found

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        """Take a launch."""
        return lambda *_, **__: self.found.update([self.name])


def zeros(like: torch.Tensor, *size: Any, **options: Any) -> torch.Tensor:
    """Memory that is the same in every step, where kernels would write: uncounted, for it is none of a step's operations."""
    with _disable_current_modes():
        return like.new_zeros(*size, **options)


@contextmanager
def as_on_a_gpu(found: Counter[str]) -> Iterator[None]:
    """Triton's kernels are counted, and no number is asked for."""
    with ExitStack() as stack:
        for module, names in KERNELS.items():
            for name in names:
                stack.enter_context(patch.object(module, name, Launched(name, found)))
        stack.enter_context(patch.object(torch.Tensor, "new_empty", zeros))
        stack.enter_context(patch.object(triton_launch.LAUNCHES, "ready", lambda *_: True))
        stack.enter_context(patch.object(poisson, "BLOCK", 2**40))  # a GPU takes all values at once
        for module in (finite_checks, step):
            stack.enter_context(patch.object(module, "ASKED_AT_ONCE", ()))
        yield


class Replayed:
    """Stands in for a graph: what it captured is there, and a replay is one launch."""

    def __init__(self, found: Counter[str]) -> None:
        self.found = found

    def rehearse(self, step: Callable[[], None]) -> None:
        """Take it."""
        step()

    def capture(self, step: Callable[[], None]) -> None:
        """Take it, for what it makes."""
        step()

    def replay(self) -> None:
        """Launch."""
        self.found.update(["replay"])


def proved(captured: Any, work: Any) -> Any:
    """Take for granted that a replay does what the work does: this one does nothing."""
    del work
    captured.proved = True
    captured._graph.replay()  # noqa: SLF001
    return captured._result[0]  # noqa: SLF001


def counted(
    config: str, members: int, overrides: tuple[str, ...] = (), *, searched: bool = False, captured: bool = False, validation: bool = False
) -> Counter[str]:
    """Operations of one whole step of so many members: augmentations, noise, passes, loss, clip, update, averages; or of a batch of a validation."""
    of = shapes.SHAPES[config]
    bins, channels = (4, 4 - (of.encoded_bins < of.bins)), (4, 4 - (of.encoded_channels < of.channels))
    small = {"trials": 16, "bins": bins[0], "encoded_bins": bins[1], "channels": channels[0], "encoded_channels": channels[1]}
    small |= {"generator": 6, "encoder": 5, "factors": 3}
    control = {"controller": 4, "input_encoder": 4, "inputs": 2} if of.controller else {}
    with patch.dict(shapes.SHAPES, {config: replace(of, **small, **control)}), tempfile.TemporaryDirectory() as folder:
        problem = load_problem(config, [], load_registry(), ["train.device=cpu", "train.threads=1", "train.recurrence=fused", *overrides], batches=2)
        own = [of_search(problem, i / members) if searched else problem for i in range(members)]
        going = {i: lone_trainer(of, i, Path(folder)) for i, of in enumerate(own)}
        raw = first_batch(problem)
        mode = Counted()
        kept = StepGraphs(partial(Replayed, mode.found)) if captured else None
        with as_on_a_gpu(mode.found), patch.object(graphs.Captured, "_prove", proved):
            for trainer in going.values():
                trainer.model.loops, trainer.untried = BACKENDS["triton"], False
            for _ in range(3 + graphs.REHEARSALS * captured):  # the first makes moments, the second averages; captured, the last is a replay
                mode.found.clear()
                with mode:
                    failed = _validated(going, raw, kept) if validation else step_together(going, dict.fromkeys(going, (0, raw)), kept)
                if failed:
                    raise next(iter(failed.values()))
        return Counter(mode.found)


def of_search(problem: BenchProblem, share: float) -> BenchProblem:
    """The problem of a member whose hyperparameters lie this far along their spaces."""
    l2 = {f"regularisation.l2_{name}": 10 ** (-5 * share) for name in ("generator", "controller")}
    drawn = {"model.dropout": 0.1 + share / 2, "components.train_augmentations.coordinated-dropout.rate": 0.1 + share / 2, **l2}
    return replace(problem, config=member_config(problem.config, drawn, problem.registry))


def _validated(going: dict[int, Trainer], raw: Mapping[str, Batch], kept: StepGraphs | None) -> Failures:
    """Everybody's validation on one batch, without metrics."""
    failed: Failures = {}
    source = {name: SplitTensors(encod=of.encod, recon=of.recon, external=of.external) for name, of in raw.items()}
    tallies = {i: Tally(trainer.validator, trainer.judged, source, 0, predict=False) for i, trainer in going.items()}
    validate_each(tallies, failed, None if kept is None else kept.passes)
    return failed


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=["S1", "S4"])
    parser.add_argument("--members", nargs="+", type=int, default=[1, 2, 32])
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    parser.add_argument("--searched", action="store_true")
    parser.add_argument("--captured", action="store_true")
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    for config in args.config:
        for members in args.members:
            found = counted(config, members, tuple(args.overrides), searched=args.searched, captured=args.captured, validation=args.validation)
            what = "batch of a validation" if args.validation else "step"
            print(f"{config}: {members} members, {found.total()} operations a {what}{', captured' if args.captured else ''}")
            if args.verbose:
                print("   ", ", ".join(f"{name} {count}" for name, count in found.most_common()))


if __name__ == "__main__":
    main()
