"""One training: its state, its pieces of a step and an epoch, its checkpoints, and every reason to stop.

The loop that puts the pieces together, for one or for several at a time, is :mod:`lfads_core.train.loop`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import torch

from lfads_core.augment.stack import AugmentationStack, augmented
from lfads_core.components.batch import Batch
from lfads_core.config.fields import known
from lfads_core.config.schema import RunConfig
from lfads_core.data.loader import epoch_batches
from lfads_core.errors import NumericsError
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.objective.total import Objective
from lfads_core.rng import stream
from lfads_core.runs import Run
from lfads_core.train.average import AveragedModel
from lfads_core.train.captured import graphs_for
from lfads_core.train.checkpoint import Checkpoint, fitting, has_checkpoint, load_checkpoint
from lfads_core.train.data import TrainingData
from lfads_core.train.evaluate import EpochResult, Tally, Validation, Validator
from lfads_core.train.finite_checks import EpochCheck, require_finite_costs
from lfads_core.train.keeping import Keeper
from lfads_core.train.means import WeightedMeans
from lfads_core.train.optim import build_optimizer
from lfads_core.train.prune import first_judged, prune
from lfads_core.train.records import StepInputs, StepResult
from lfads_core.train.schedule import Plateau, has_fallen, learning_rate
from lfads_core.train.smoothing import SmoothedMetric
from lfads_core.train.state import TrainingState, snapshot, take_over
from lfads_core.train.top_k import BestSoFar, TopK
from lfads_core.trial.first_batch import try_components
from lfads_core.trial.made import SpoiltError
from lfads_core.trial.observed import components_of, is_strange

if TYPE_CHECKING:
    from lfads_core.train.profile import StepTrace

log = logging.getLogger(__name__)

Outcome = Literal["epochs", "minutes", "early stopping", "learning rate", "interrupted"]


class Trainer:
    """One model that is trained in one run folder."""

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
        self.objective = Objective.of(config)
        self.batch_size, passes = known(config.data.batch_size, "data.batch_size"), known(config.data.passes, "data.passes")
        self.passes = range(passes)
        self.metrics_every = known(config.train.metrics_every, "train.metrics_every")
        averaged = known(config.train.average, "train.average")
        self.average = AveragedModel(model, averaged) if averaged else None
        self.validator = Validator(
            objective=self.objective,
            stack=valid_stack,
            batch_size=self.batch_size,
            seed=config.train.seed,
            masked=config.validation.hidden,
        )
        self.optimizer = build_optimizer(model, config.optim)
        self.graphs = graphs_for(config, model.device)
        self.sums, self.check = WeightedMeans(), EpochCheck()
        self.keeper = Keeper(run.checkpoints, config.validation.judge)
        self.judged_copy: Checkpoint | None = None  # of the weights as they are, if there is one already
        self.trace: StepTrace | None = None
        self.untried = True  # whether the next batch is a trial of the components
        self.progress = TrainingState(
            plateau=Plateau(config.optim, config.optim.lr),
            best=BestSoFar(first_judged(config, None)),
            smoothed=SmoothedMetric(coef=known(config.train.smoothing, "train.smoothing")),
            top_k=TopK(config.train.keep_best),
        )

    def allow(self, epochs: int) -> None:
        """Train until this many epochs are done in total, instead of what the settings said."""
        self.config = attrs.evolve(self.config, train=attrs.evolve(self.config.train, epochs=epochs))

    def begin(self) -> None:
        """See to it that there is a checkpoint to come back to, and that a trained model is pruned if that is asked for."""
        if self._prune() or not has_checkpoint(self.run.checkpoints, "last"):
            self.save()
        else:
            self.keeper.save(None, self.progress.top_k)

    def remaining(self) -> Iterator[tuple[int, dict[str, Batch]]]:
        """Number and trials of each step that is left of the current epoch, whose rate and decay are set first."""
        config, progress, self.judged_copy = self.config, self.progress, None
        self.optimizer.lr = self.learning_rate
        self.optimizer.weight_decay = config.optim.weight_decay * self.objective.ramps(progress.epoch).l2
        self._prune()
        order = stream(config.train.seed, "order", progress.epoch)
        visits = chain.from_iterable(epoch_batches(self.data.splits["train"], self.batch_size, order) for _ in self.passes)
        for step, raw in enumerate(visits):
            if step >= progress.step:
                yield step, raw

    def _prune(self) -> bool:
        """Set weights to 0 if it is time to; what was best before is so no longer."""
        if not prune(self.model, self.optimizer, self.progress, self.config):
            return False
        self.progress.best, self.judged_copy = BestSoFar(first_judged(self.config, self.progress.pruned)), None
        if self.average is not None:
            self.average.start()
        self.keeper.forget(self.progress.top_k)
        return True

    def try_components(self, raw: Mapping[str, Batch]) -> None:
        """Make a training's first batch a trial of every component, and of strangers' the first one of epochs 1, 2, 4, 8 and so on too.

        Raises:
            PluginError: one does not keep its contract.
            NumericsError: one gives no numbers with weights that were trained before, which may be why.
        """
        if self.untried:
            try:
                stacks, again = (self.train_stack, self.validator.stack), self.progress.epoch > 0
                try_components(self.model, self.objective, stacks, raw, self.config.train.seed, again=again)
            except SpoiltError as err:
                if not (self.progress.epoch or self.progress.step):
                    raise
                raise NumericsError(f"epoch {self.progress.epoch}: with the weights as they are trained so far, {err}") from err
            self.untried = False

    @property
    def _has_strangers(self) -> bool:
        """Whether a component may be wrong later that was right at first, for nobody here has tested it."""
        return any(map(is_strange, components_of(self.model, (self.train_stack, self.validator.stack))))

    def prepare(self, step: int, raw: Mapping[str, Batch]) -> StepInputs:
        """Augment a step's trials and draw its noise, from the step's own stream of random numbers."""
        config, progress, rng = self.config, self.progress, self.chance(step)
        batches = augmented(raw, self.train_stack, config.model.encoder.ic_bins, rng)
        noise = self.model.draw_pass(batches, rng, sample=config.model.variational, dropout=True)
        return StepInputs(epoch=progress.epoch, step=step, batches=batches, noise=noise)

    def chance(self, step: int) -> torch.Generator:
        """A step's own stream of random numbers."""
        progress = self.progress
        return stream(self.config.train.seed, "step", progress.epoch, step, progress.rollbacks, device=self.model.device)

    def absorb(self, ready: StepInputs, result: StepResult) -> None:
        """Take a step's numbers into the epoch's averages."""
        self.sums.add_losses(result.losses, ready.batches, grad_norm=result.grad_norm)
        if result.check is not None:
            self.check.add(result.check)
        if self.average is not None:
            self.average.follow()
        self.stepped(ready)

    def stepped(self, ready: StepInputs) -> None:
        """Count a step whose numbers were taken."""
        self.progress.step = ready.step + 1
        if self.trace is not None:
            self.trace.step()

    @property
    def clip_norm(self) -> float | None:
        """Largest norm of the gradient."""
        return self.config.optim.clip_norm

    @property
    def learning_rate(self) -> float:
        """The rate of the current epoch."""
        return learning_rate(self.config.optim, self.progress.plateau.lr, self.progress.epoch, self.config.train.epochs)

    @property
    def judged(self) -> LFADS:
        """The model that is validated and kept: the trained one, or the average of its weights."""
        return self.model if self.average is None else self.average.model

    def tally(self) -> Tally:
        """The validation that ends the current epoch, still to be done; some end with the plugins' metrics, which need predictions."""
        epoch, every = self.progress.epoch, self.metrics_every
        return Tally(self.validator, self.judged, self.data.splits["valid"], epoch, predict=epoch % every == every - 1)

    def end_epoch(self, validation: Validation) -> EpochResult:
        """Judge the epoch and move on to the next; a best model is kept in memory until :meth:`save`.

        Raises:
            NumericsError: a term of the validation is not finite; nothing has moved.
        """
        progress, judge = self.progress, self.config.validation.judge
        epoch = progress.epoch
        require_finite_costs(validation.costs, judge, epoch)
        progress.smoothed = progress.smoothed.update([validation.costs[judge]], [1])
        smooth = float(progress.smoothed.value or 0.0)
        row = self._row(validation, smooth)
        progress.plateau.update(smooth)
        is_best = progress.best.update(epoch, smooth)
        is_top = epoch >= progress.best.first_epoch and progress.top_k.update(epoch, smooth)
        progress.epoch, progress.step, self.sums = epoch + 1, 0, WeightedMeans()
        self.untried = self.untried or (progress.epoch.bit_count() == 1 and self._has_strangers)
        if is_best or is_top:
            self.judged_copy = snapshot(self.judged, None, self.description, progress, self.sums)
            self.keeper.hold(epoch, self.judged_copy, progress.top_k, is_best=is_best)
        return EpochResult(epoch=epoch, row=row, validation=validation)

    def _row(self, validation: Validation, smooth: float) -> dict[str, float]:
        """One line of the log."""
        ramps = self.objective.ramps(self.progress.epoch)
        further = {f"latent/{name}": latent.prior for name, latent in self.model.latents.items()}
        priors = {"ic": self.model.ic_prior, "inputs": self.model.input_prior, **further}
        return {
            **{f"train/{name}": value for name, value in self.sums.averages().items()},
            **{f"valid/{name}": value for name, value in validation.costs.items()},
            f"valid/{self.config.validation.judge}_smooth": smooth,
            "lr": self.learning_rate,
            "kl_ramp": ramps.kl,
            "l2_ramp": ramps.l2,
            **{f"loss_ramp/{name}": weight for name, weight in ramps.losses.items()},
            **{f"prior/{name}/{key}": value for name, prior in priors.items() if prior is not None for key, value in prior.scalars().items()},
            "seconds": self.progress.seconds,
        }

    def why_stop(self) -> Outcome | None:
        """The reason to train no further epoch."""
        config, progress = self.config.train, self.progress
        if progress.epoch >= config.epochs:
            return "epochs"
        if config.minutes is not None and progress.seconds >= 60 * config.minutes:
            return "minutes"
        stopping = None if config.early_stopping is None else known(config.early_stopping, "train.early_stopping")
        if stopping is not None and progress.best.epochs_without_better(progress.epoch - 1) >= stopping:
            return "early stopping"
        return "learning rate" if progress.plateau.at_floor or has_fallen(self.config.optim, progress.plateau.lr, progress.epoch) else None

    def roll_back(self, error: NumericsError) -> None:
        """Return to the last checkpoint at half the learning rate; the time since counts."""
        done, seconds = self.progress.rollbacks, self.progress.seconds
        self.restore()
        since_checkpoint = done + 1 - self.progress.rollbacks
        self.progress.rollbacks, self.progress.seconds = done + 1, seconds
        self.progress.plateau.lr *= 0.5**since_checkpoint
        log.warning("%s Back to epoch %d with learning rate %.3g.", error, self.progress.epoch + 1, self.progress.plateau.lr)

    def set_learning_rate(self, lr: float) -> None:
        """Go on from here at this rate, with all returns to the last checkpoint allowed again; on disk at once."""
        self.progress.plateau.lr, self.progress.plateau.bad_epochs, self.progress.rollbacks = lr, 0, 0
        self.save()
        self.keeper.wait()

    def save(self) -> None:
        """Have the whole state put on disk, and good epochs that are not there yet, while training goes on.

        Raises:
            RunError: what was to be put there before could not be.
        """
        last = snapshot(self.model, self.optimizer, self.description, self.progress, self.sums, self.average, copied=self.judged_copy)
        self.keeper.save(last, self.progress.top_k)

    def restore(self) -> None:
        """Go on exactly where the last checkpoint stands.

        Raises:
            RunError: there is none, or it is damaged.
        """
        self._load(self.run.checkpoints)

    def adopt(self, folder: Path) -> None:
        """Go on from the checkpoints in ``folder``, another training's perhaps, under this training's own settings; on disk at once.

        Weights, moments and progress are taken over, and a ``best`` beside ``last`` and kept epochs with them. The learning rate starts anew at
        ``optim.lr`` if ``last`` was trained under another setting of it, and otherwise goes on where it was.

        Raises:
            RunError: there is no ``last``, or something is damaged or does not fit.
        """
        trained_under = self._load(folder).state["progress"]["plateau"].get("start_lr")
        plateau, lr = self.progress.plateau, self.config.optim.lr
        if trained_under != lr:
            plateau.lr, plateau.bad_epochs = lr, 0
        self.progress.rollbacks = 0
        if has_checkpoint(folder, "best"):
            self.keeper.adopt_best(folder)
        else:
            self.progress.best = BestSoFar(first_judged(self.config, self.progress.pruned))
            self.keeper.forget(self.progress.top_k)
        self.save()
        self.keeper.wait()

    def _load(self, folder: Path) -> Checkpoint:
        self.keeper.wait()
        checkpoint = load_checkpoint(folder, "last", str(self.model.device))
        self.sums, self.check, self.judged_copy = WeightedMeans(), EpochCheck(), None
        with fitting(folder, "last"):
            take_over(checkpoint, self.model, self.optimizer, self.progress, self.sums)
            if self.average is not None:
                self.average.restore(checkpoint.tensors.get("average"))
            self.progress.best.first_epoch = first_judged(self.config, self.progress.pruned)
            self.keeper.take_up(folder, self.progress.top_k, self.progress.best)
        self.optimizer.betas, self.optimizer.eps = self.config.optim.betas, self.config.optim.eps
        return checkpoint
