"""How many CPU threads: as many as the settings say, or as many as a few real steps show to be worth it."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping

import torch

from lfads_core.config.schema import TrainConfig
from lfads_core.data.loader import epoch_batches
from lfads_core.runs import Run
from lfads_core.train.device import cores, use_cpu
from lfads_core.train.optim import build_optimizer
from lfads_core.train.step import take_step
from lfads_core.train.trainer import Trainer

log = logging.getLogger(__name__)

ROUNDS = 3
"""Steps taken with each number of threads, in turn; the quickest counts."""
WORTH = 0.9
"""Share of one thread's time that more threads must stay below to be taken."""


def set_threads(config: TrainConfig) -> None:
    """Use as many CPU threads as the settings say; one until somebody has measured."""
    use_cpu(config.threads or 1)


def settle_threads(trainer: Trainer, run: Run) -> None:
    """If the settings leave the number open, measure it once and remember it in ``run.json``, so that a resumed run has it too."""
    if trainer.config.train.threads is not None or trainer.model.device.type != "cpu":
        return
    known = run.read_state().get("threads")
    if known is None:
        seconds = measure_threads(one_step(trainer), candidates(cores()))
        known = worth_it(seconds)
        found = ", ".join(f"{number}: {1e3 * value:.0f} ms" for number, value in seconds.items())
        log.info("threads: %d, by the time of one training step (%s)", known, found)
        run.update_state(threads=known)
    torch.set_num_threads(known)


def candidates(most: int) -> list[int]:
    """1, 2, 4 and so on, and all there are."""
    return sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most})


def measure_threads(step: Callable[[], object], numbers: list[int]) -> dict[int, float]:
    """Seconds of the quickest step with each number of threads."""
    times: dict[int, list[float]] = {number: [] for number in numbers}
    for taken in range(ROUNDS + 1):  # the first round warms up
        for number, times_of in times.items():
            torch.set_num_threads(number)
            began = time.perf_counter()
            step()
            if taken > 0:
                times_of.append(time.perf_counter() - began)
    return {number: min(found) for number, found in times.items()}


def worth_it(seconds: Mapping[int, float]) -> int:
    """The quickest number of threads, if that is a tenth quicker than one."""
    best = min(seconds, key=lambda number: seconds[number])
    return best if seconds[best] < WORTH * seconds[1] else 1


def one_step(trainer: Trainer) -> Callable[[], object]:
    """A training step on the first batch with a copy of the model: the training itself is left where it stands."""
    alone = copy.copy(trainer)
    alone.model = copy.deepcopy(trainer.model)
    alone.optimizer = build_optimizer(alone.model, trainer.config.optim)
    raw = next(epoch_batches(trainer.data.splits["train"], trainer.batch_size))
    return lambda: take_step([alone], [alone.prepare(0, raw)])
