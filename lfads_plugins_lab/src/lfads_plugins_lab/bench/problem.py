"""What is measured: settings, sessions, and one training step on their first batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lfads_core.augment.stack import augmented
from lfads_core.components.batch import Batch
from lfads_core.config.fields import known
from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.data.loader import epoch_batches
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.model.description import describe
from lfads_core.model.lfads import LFADS
from lfads_core.objective.total import Objective
from lfads_core.plugins.registry import Registry
from lfads_core.recurrence.choose import choose_recurrence
from lfads_core.rng import stream
from lfads_core.runs import Run
from lfads_core.train.auto import resolve_auto
from lfads_core.train.captured import graphs_for
from lfads_core.train.data import put_on, read_for
from lfads_core.train.device import choose_device
from lfads_core.train.graphs import REHEARSALS
from lfads_core.train.optim import build_optimizer
from lfads_core.train.records import StepInputs
from lfads_core.train.step import LoneMember, take_step
from lfads_core.train.trainer import Trainer
from lfads_plugins_lab.bench.naive import naive_pass
from lfads_plugins_lab.bench.shapes import LORENZ, SHAPES, StepShape, lorenz_session

NAIVE = "naive"
"""The path that is no backend: an eager model as one writes it first."""
WARM_UP = REHEARSALS + 2
"""Steps before the first that is measured: the first makes moments, and where steps are captured, some more are taken as they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchProblem:
    """Settings and data under the name they were asked for by."""

    name: str
    config: RunConfig
    sessions: Sequence[Session]
    registry: Registry
    device: str

    def model(self) -> LFADS:
        """A fresh model."""
        return prepare_model(self.config, self.sessions, self.registry, self.device)

    def trainer(self, folder: Path) -> Trainer:
        """A training of a fresh model in a folder of its own."""
        data, stacks = put_on(self.device, self.sessions), build_stacks(self.config, self.registry)
        return Trainer(Run.create(folder), self.config, self.model(), describe(self.sessions), data, stacks)

    def shape(self, model: LFADS) -> StepShape:
        """Sizes of one step; of several sessions' channels the mean."""
        control, generator = self.config.model.controller, self.config.model.generator
        trials = min(known(self.config.data.batch_size, "data.batch_size"), sum(s.splits["train"].trials for s in self.sessions))
        channels = [s.splits["train"].recon.shape[2] for s in self.sessions]
        return StepShape(
            trials=trials,
            encoded_bins=model.sizes.encoded_bins,
            bins=model.sizes.bins,
            encoded_channels=model.sizes.encoder_width,
            channels=round(sum(channels) / len(channels)),
            generator=generator.hidden,
            controller=0 if control is None else control.hidden,
            input_encoder=0 if control is None else control.encoder_hidden,
            encoder=self.config.model.encoder.hidden,
            factors=generator.factors,
            inputs=0 if control is None else control.inputs,
        )


def load_problem(config: str, data: Sequence[Path], registry: Registry, overrides: Sequence[str] = (), *, batches: int = 1) -> BenchProblem:
    """The problem of a published shape, or of a file of settings with its data.

    Raises:
        ConfigError: it is neither; or data are missing or given where a shape brings its own.
        DataError: the data cannot be read.
    """
    if config in SHAPES or config == LORENZ:
        if data:
            raise ConfigError(
                f"--data: must be left out with --config {config}, which brings data of its own, got {data[0]}. Give a file of settings."
            )
        own = SHAPES[config].settings() if config in SHAPES else []
        settings = resolve([], (), [*own, *overrides], registry)
        session = SHAPES[config].session(batches=batches) if config in SHAPES else lorenz_session(registry)
        settings = resolve_auto(settings, [session])
        return BenchProblem(name=config, config=settings, sessions=[session], registry=registry, device=choose_device(settings.train.device))
    path = Path(config)
    if path.suffix.lower() not in {".yaml", ".yml"}:
        raise ConfigError(f"--config: must be one of {', '.join([*SHAPES, LORENZ])} or a YAML file of settings, got {config!r}.")
    if not data:
        raise ConfigError(f"--data: settings from a file need recordings to be measured on, got none. Give --data FILE.h5 with --config {config}.")
    settings = resolve([path], (), overrides, registry)
    sessions = read_for(settings, data, registry, contents=False)
    settings = resolve_auto(settings, sessions)
    return BenchProblem(name=path.stem, config=settings, sessions=sessions, registry=registry, device=choose_device(settings.train.device))


def first_batch(problem: BenchProblem) -> dict[str, Batch]:
    """The batch that every measured step is taken on."""
    splits = put_on(problem.device, problem.sessions).splits["train"]
    return next(epoch_batches(splits, known(problem.config.data.batch_size, "data.batch_size")))


def make_steps(problem: BenchProblem, paths: Sequence[str], model: LFADS, batches: Mapping[str, Batch]) -> dict[str, Callable[[], None]]:
    """One whole training step for each path: draw, augment, forward, backward, clip, AdamW. All change the same model."""
    return {path: (_naive_step if path == NAIVE else _step)(problem, path, model, batches) for path in paths}


def _step(problem: BenchProblem, path: str, model: LFADS, raw: Mapping[str, Batch]) -> Callable[[], None]:
    config = problem.config
    stack, loops, graphs = build_stacks(config, problem.registry)[0], choose_recurrence(path, problem.device), graphs_for(config, model.device)
    optimizer, objective = build_optimizer(model, config.optim), Objective(config.regularisation)
    one = LoneMember(model=model, objective=objective, optimizer=optimizer, train_stack=stack, clip_norm=config.optim.clip_norm)

    def step() -> None:
        model.loops = loops
        rng = stream(0, "bench", device=model.device)
        batches = augmented(raw, stack, config.model.encoder.ic_bins, rng)
        trials = sum(batch.trials.shape[0] for batch in batches.values())
        noise = model.draw_noise(trials, rng, sample=config.model.variational, dropout=True)
        ready = [StepInputs(epoch=0, step=0, batches=batches, noise=noise)]
        if graphs is None or graphs.step([one], ready) is None:
            take_step([one], ready)

    return step


def _naive_step(problem: BenchProblem, path: str, model: LFADS, raw: Mapping[str, Batch]) -> Callable[[], None]:
    """As one writes it first: torch's own optimiser and clip, dropout drawn bin by bin where it is used."""
    del path
    config = problem.config
    _only_published(config)
    stack, objective = build_stacks(config, problem.registry)[0], Objective(config.regularisation)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.optim.lr)

    def step() -> None:
        rng = stream(0, "bench", device=model.device)
        batches = augmented(raw, stack, config.model.encoder.ic_bins, rng)
        optimizer.zero_grad()
        output, noise = naive_pass(model, batches, rng, known(config.model.dropout, "model.dropout"))
        total = objective(model, batches, output, noise, stack, 0).total
        total.backward()
        if config.optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, config.optim.clip_norm)
        optimizer.step()
        total.item()

    return step


def _only_published(config: RunConfig) -> None:
    """Refuse what the eager model was not written for.

    Raises:
        ConfigError: the settings use an option of the network that is off by default.
    """
    control = config.model.controller
    used = {
        "model.encoder.read_bins": config.model.encoder.read_bins is not None,
        "model.controller.causal": control is not None and control.causal,
        "model.controller.feedback": control is not None and control.feedback != "factors",
    }
    for name in (name for name, on in used.items() if on):
        raise ConfigError(f"{name}: the eager baseline must have its default, got another value. Leave out --baseline.")
