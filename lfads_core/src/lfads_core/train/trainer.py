"""The training loop: epochs of steps, validation, checkpoints, and every reason to stop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from lfads_core.augment.stack import AugmentationStack
from lfads_core.config.schema import RunConfig
from lfads_core.data.loader import epoch_batches
from lfads_core.errors import NumericsError
from lfads_core.metrics.smoothing import SmoothedMetric
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.objective.total import Objective
from lfads_core.rng import stream
from lfads_core.runs import Run
from lfads_core.train.checkpoint import Checkpoint, fitting, has_checkpoint, load_checkpoint, save_checkpoint, to_cpu
from lfads_core.train.data import TrainingData
from lfads_core.train.evaluate import Validation, Validator
from lfads_core.train.means import WeightedMeans
from lfads_core.train.optim import build_optimizer, set_learning_rate, set_moments, set_weight_decay
from lfads_core.train.plateau import BestSoFar, Plateau, ramps_end
from lfads_core.train.step import augmented, train_step

log = logging.getLogger(__name__)

Outcome = Literal["epochs", "minutes", "early stopping", "learning rate", "interrupted"]
MOST_ROLLBACKS = 5
"""Times a training may go back to its last checkpoint, each time at half the learning rate, before it gives up."""


@dataclass(kw_only=True)
class Progress:
    """Where a training stands: everything but tensors."""

    plateau: Plateau
    best: BestSoFar
    smoothed: SmoothedMetric
    epoch: int = 0  # the next to be trained, or being trained
    step: int = 0  # the next within it
    rollbacks: int = 0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "rollbacks": self.rollbacks,
            "seconds": self.seconds,
            "plateau": self.plateau.state(),
            "best": self.best.state(),
            "smoothed": self.smoothed.to_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.epoch, self.step, self.rollbacks, self.seconds = state["epoch"], state["step"], state["rollbacks"], state["seconds"]
        self.plateau.restore(state["plateau"])
        self.best.restore(state["best"])
        self.smoothed = replace(SmoothedMetric.from_dict(state["smoothed"]), coef=self.smoothed.coef)


class Trainer:
    """Trains one model in one run folder. The state is on disk after every epoch and every interruption."""

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        model: LFADS,
        description: ModelDescription,
        data: TrainingData,
        stacks: tuple[AugmentationStack, AugmentationStack],
    ) -> None:
        self.run, self.config, self.model, self.description, self.data = run, config, model, description, data
        self.train_stack, valid_stack = stacks
        self.objective = Objective(config.regularisation)
        self.validator = Validator(
            objective=self.objective,
            stack=valid_stack,
            batch_size=config.data.batch_size,
            seed=config.train.seed,
            masked=config.validation.hidden,
        )
        self.optimizer = build_optimizer(model, config.optim)
        self.sums = WeightedMeans()
        self.progress = Progress(
            plateau=Plateau(config.optim, config.optim.lr),
            best=BestSoFar(ramps_end(config.regularisation)),
            smoothed=SmoothedMetric(coef=config.train.smoothing),
        )

    def fit(self, on_epoch: Callable[[int, dict[str, float], Validation], None], should_stop: Callable[[], bool]) -> Outcome:
        """Train until something says stop.

        ``on_epoch`` gets each epoch's numbers and validation; ``should_stop`` is asked before each step.

        Raises:
            NumericsError: a term stays not finite after several returns to the last checkpoint at a lower rate.
            RunError: a checkpoint cannot be written.
        """
        if not has_checkpoint(self.run.checkpoints, "last"):
            self.save_last()
        began = time.monotonic() - self.progress.seconds
        while (reason := self._why_stop(time.monotonic() - began)) is None:
            try:
                finished = self._train_epoch(should_stop)
            except NumericsError as err:
                self._roll_back(err)
                continue
            self.progress.seconds = time.monotonic() - began
            if not finished:
                self.save_last()
                return "interrupted"
            self._end_epoch(on_epoch)
        return reason

    def _train_epoch(self, should_stop: Callable[[], bool]) -> bool:
        """Train what is left of the current epoch; False if it was interrupted."""
        config, progress = self.config, self.progress
        epoch, seed = progress.epoch, config.train.seed
        set_learning_rate(self.optimizer, progress.plateau.lr)
        ramp = self.objective.ramps(epoch).l2
        set_weight_decay(self.optimizer, config.optim.weight_decay * ramp)
        order = stream(seed, "order", epoch)
        for step, raw in enumerate(epoch_batches(self.data.splits["train"], config.data.batch_size, order)):
            if step < progress.step:
                continue
            if should_stop():
                return False
            rng = stream(seed, "step", epoch, step, progress.rollbacks, device=self.model.device)
            batches = augmented(raw, self.train_stack, config.model.encoder.ic_bins, rng)
            trials = sum(batch.trials.shape[0] for batch in batches.values())
            noise = self.model.draw_noise(trials, rng, sample=config.model.variational, dropout=True)
            result = train_step(self.model, self.objective, self.train_stack, self.optimizer, batches, noise, (epoch, config.optim.clip_norm))
            self.sums.add_losses(result.losses, batches)
            self.sums.add("grad_norm", result.grad_norm, trials)
            progress.step = step + 1
        return True

    def _end_epoch(self, on_epoch: Callable[[int, dict[str, float], Validation], None]) -> None:
        config, progress = self.config, self.progress
        epoch, every = progress.epoch, config.train.metrics_every
        validation = self.validator(self.model, self.data.splits["valid"], epoch, predict=epoch % every == every - 1)
        judge = config.validation.judge
        if bad := [name for name in _judged(validation.costs, judge) if not math.isfinite(validation.costs[name])]:
            self._roll_back(NumericsError(f"epoch {epoch}: the validation term '{bad[0]}' must be finite, got {validation.costs[bad[0]]}."))
            return
        progress.smoothed = progress.smoothed.update([validation.costs[judge]], [1])
        smooth = float(progress.smoothed.value or 0.0)
        row = self._row(validation, smooth)
        progress.plateau.update(smooth)
        is_best = progress.best.update(epoch, smooth)
        progress.epoch, progress.step, self.sums = epoch + 1, 0, WeightedMeans()
        if is_best:
            save_checkpoint(self.run.checkpoints, "best", self._snapshot(with_optimizer=False))
        on_epoch(epoch, row, validation)
        self.save_last()

    def _row(self, validation: Validation, smooth: float) -> dict[str, float]:
        """One line of the log."""
        ramps = self.objective.ramps(self.progress.epoch)
        priors = {"ic": self.model.ic_prior, "inputs": self.model.input_prior}
        return {
            **{f"train/{name}": value for name, value in self.sums.averages().items()},
            **{f"valid/{name}": value for name, value in validation.costs.items()},
            f"valid/{self.config.validation.judge}_smooth": smooth,
            "lr": self.progress.plateau.lr,
            "kl_ramp": ramps.kl,
            "l2_ramp": ramps.l2,
            **{f"prior/{name}/{key}": value for name, prior in priors.items() if prior is not None for key, value in prior.scalars().items()},
            "seconds": self.progress.seconds,
        }

    def _why_stop(self, seconds: float) -> Outcome | None:
        config, progress = self.config.train, self.progress
        if progress.epoch >= config.epochs:
            return "epochs"
        if config.minutes is not None and seconds >= 60 * config.minutes:
            return "minutes"
        if config.early_stopping is not None and progress.best.epochs_without_better(progress.epoch - 1) >= config.early_stopping:
            return "early stopping"
        return "learning rate" if progress.plateau.at_floor else None

    def _roll_back(self, error: NumericsError) -> None:
        """Return to the last checkpoint at half the learning rate.

        Raises:
            NumericsError: this has been tried often enough.
        """
        done = self.progress.rollbacks
        if done >= MOST_ROLLBACKS:
            raise NumericsError(
                f"{error} Gave up after {done} returns to the last checkpoint, which is kept; "
                f"go on from it at a lower rate with `lfads run --resume {self.run.path} --set optim.lr=...`, or lower optim.clip_norm."
            ) from error
        self.restore()
        since_checkpoint = done + 1 - self.progress.rollbacks
        self.progress.rollbacks = done + 1
        self.progress.plateau.lr *= 0.5**since_checkpoint
        log.warning("%s Back to epoch %d with learning rate %.3g.", error, self.progress.epoch + 1, self.progress.plateau.lr)

    def set_learning_rate(self, lr: float) -> None:
        """Go on from here at this rate, with all returns to the last checkpoint allowed again; on disk at once."""
        self.progress.plateau.lr, self.progress.plateau.bad_epochs, self.progress.rollbacks = lr, 0, 0
        self.save_last()

    def save_last(self) -> None:
        """Put the whole state on disk."""
        save_checkpoint(self.run.checkpoints, "last", self._snapshot(with_optimizer=True))

    def restore(self) -> None:
        """Go on exactly where the last checkpoint stands.

        Raises:
            RunError: there is none, or it is damaged.
        """
        checkpoint = load_checkpoint(self.run.checkpoints, "last", str(self.model.device))
        with fitting(self.run.checkpoints, "last"):
            self.model.load_state_dict(checkpoint.tensors["model"])
            self.optimizer.load_state_dict(_keyed_by_int(checkpoint.tensors["optimizer"]))
            self.progress.restore(checkpoint.state["progress"])
            self.sums = WeightedMeans()
            self.sums.restore(checkpoint.state["sums"])
        set_moments(self.optimizer, self.config.optim)

    def _snapshot(self, *, with_optimizer: bool) -> Checkpoint:
        arrays = {s.name: {key: _as_tensor(value) for key, value in s.arrays.items()} for s in self.description.sessions}
        tensors: dict[str, Any] = {"model": to_cpu(self.model.state_dict()), "arrays": arrays}
        if with_optimizer:
            tensors["optimizer"] = to_cpu(self.optimizer.state_dict())
        state = {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "progress": self.progress.state(),
            "sums": self.sums.state(),
            "description": self.description.to_json(),
        }
        return Checkpoint(tensors=tensors, state=state)


def _judged(costs: Mapping[str, float], judge: str) -> list[str]:
    """Names of the terms that must be finite; of several sessions' terms first, for they say more."""
    return [*(name for name in costs if name.startswith(("recon/", f"{judge}/"))), "recon", "ic_kl", "input_kl", "l2", "total", judge]


def _as_tensor(values: np.ndarray) -> torch.Tensor:
    """A copy in a type that torch knows: a file's arrays may be big-endian, read-only or of extended precision."""
    wide = values.dtype.kind == "f" and values.dtype.itemsize > 8
    return torch.from_numpy(np.array(values, dtype=np.float64 if wide else values.dtype.newbyteorder("=")))


def _keyed_by_int(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": {int(key): value for key, value in state["state"].items()}, "param_groups": state["param_groups"]}
