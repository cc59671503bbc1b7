"""One run from data to trained weights: ``lfads run`` without its command line."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs

from lfads_core.config.schema import RunConfig
from lfads_core.config.spaces import ELSEWHERE
from lfads_core.config.structure import unstructure
from lfads_core.config.trained import settings_of_run, trained_by
from lfads_core.config.yaml_io import dump
from lfads_core.data.known import differences
from lfads_core.errors import ConfigError, RunError
from lfads_core.files import expanded, remove_leftovers, write_text
from lfads_core.infer.loading import description_of
from lfads_core.infer.run import finish
from lfads_core.locks import only_one
from lfads_core.model.build import build_stacks, prepare_model
from lfads_core.model.description import ModelDescription, describe
from lfads_core.pipeline.laws import tell_broken_laws
from lfads_core.pipeline.rebuild import rebuild_model
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.single_files import keep_files
from lfads_core.plugins.versions import versions
from lfads_core.runs import Run
from lfads_core.track.collect import Trackers, open_trackers
from lfads_core.train.auto import resolve_auto
from lfads_core.train.checkpoint import has_checkpoint, load_checkpoint, tidy
from lfads_core.train.data import check_for, put_on, read_for
from lfads_core.train.device import choose_device
from lfads_core.train.evaluate import EpochResult, score
from lfads_core.train.interrupt import stop_wish
from lfads_core.train.loop import fit
from lfads_core.train.progress import Display
from lfads_core.train.threads import set_threads, settle_threads
from lfads_core.train.trainer import Outcome, Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a training ended, and the final scores of its outputs (empty if it was interrupted)."""

    run: Run
    outcome: Outcome
    scores: Mapping[str, float]


def start_run(
    path: Path,
    patterns: Sequence[str | Path],
    config: RunConfig,
    registry: Registry,
    display: Display,
    *,
    numbered: bool = False,
    profile: bool = False,
) -> Finished:
    """Read, check, train, infer, plot, in a new folder; ``numbered`` takes ``path-2`` and so on when ``path`` is taken.

    ``profile`` writes a trace of a few steps, ``profile.json`` in the run's folder.

    Raises:
        ConfigError, DataError, PluginError: the settings or the data do not do; nothing was written.
        NumericsError: the loss stopped being a number; the last good state stays on disk.
        RunError: the folder is taken.
    """
    sessions = read_for(config, patterns, registry)
    config = resolve_auto(config, sessions)
    check_for(config, sessions, registry)
    device = choose_device(config.train.device)
    set_threads(config.train)
    model = prepare_model(config, sessions, registry, device)
    stacks = build_stacks(config, registry)
    tell_broken_laws(config, registry)
    run = Run.create(path, numbered=numbered)
    with only_one(run.path):
        record_start(run, patterns, config, registry)
        data = put_on(device, sessions, model.arrays_wanted)
        trainer = Trainer(run, config, model, describe(sessions), data, stacks)
        if profile:
            from lfads_core.train.profile import StepTrace

            trainer.trace = StepTrace(run.path / "profile.json")
        return train_and_finish(trainer, registry, display)


def record_start(run: Run, patterns: Sequence[str | Path], config: RunConfig, registry: Registry, **more: Any) -> None:
    """Write a new run's settings, and in ``run.json`` its data, the versions that train it, and ``more``; plugin files are kept beside them."""
    keep_files(run.path)
    write_text(run.config_path, dump(config))
    data = [str(expanded(p).resolve()) for p in patterns]
    run.update_state(status="running", data=data, versions=versions(registry), plugins=trained_by(config, registry), **more)


def resume_run(path: Path, overrides: Sequence[str], registry: Registry, display: Display, *, reset_lr: bool = False) -> Finished:
    """Go on with a run bit by bit, from its last checkpoint; a finished one is inferred and plotted again.

    ``overrides`` may change ``optim``, ``infer``, ``track`` and ``train`` but for its seed; ``optim.lr`` set here restarts the
    learning rate there, as ``reset_lr`` does at the one of the settings; without them the rate goes on where it was.

    Raises:
        RunError: there is no run, its checkpoint is damaged, or an override touches what the weights depend on.
        ConfigError: an override is none, or there is no rate to reset.
    """
    run = Run.open(path)
    config = settings_of_run(run, overrides, registry, going_on=True)
    _only_allowed(path, settings_of_run(run, (), registry, going_on=True), config)
    if reset_lr and config.optim.schedule != "plateau":
        raise ConfigError(
            f"--reset-lr: is for optim.schedule: plateau, whose rate depends on how a training went, got {config.optim.schedule}, where it follows "
            "from the epoch. Leave it out; --set optim.lr=... changes the rate."
        )
    with only_one(run.path):
        remove_leftovers(run.path)
        tidy(run.checkpoints)
        sessions = read_for(config, run.data, registry)
        config = resolve_auto(config, sessions)
        check_for(config, sessions, registry)
        device = choose_device(config.train.device)
        set_threads(config.train)
        model, description = rebuild_model(run, config, sessions, registry, device)
        data = put_on(device, sessions, model.arrays_wanted)
        trainer = Trainer(run, config, model, description, data, build_stacks(config, registry))
        if has_checkpoint(run.checkpoints, "last"):
            _same_data(path, description_of(load_checkpoint(run.checkpoints, "last")), description)
            trainer.restore()
        write_text(run.config_path, dump(config))
        keep_files(run.path)
        if reset_lr or any(text.partition("=")[0].strip() == "optim.lr" for text in overrides):
            trainer.set_learning_rate(config.optim.lr)
        run.update_state(status="running")
        return train_and_finish(trainer, registry, display)


def _same_data(path: Path, kept: ModelDescription, given: ModelDescription) -> None:
    """Refuse to go on with other data than the run was started with."""
    if kept.sizes() != given.sizes():
        raise RunError(f"{path}: the data must be those the run was started with, of sizes {kept.sizes()}, got {given.sizes()}. Restore them.")
    for name, known in given.known.items():
        if name in kept.known and (other := differences(kept.known[name], known)):
            raise RunError(f"{path}: the data must be those the run was started with, got {' and '.join(other)} of '{name}'. Restore them.")


def train_and_finish(trainer: Trainer, registry: Registry, display: Display) -> Finished:
    """Train from where the trainer stands, infer and plot; ``run.json`` says how it ended, whatever happens."""
    run, config = trainer.run, trainer.config
    settle_threads(trainer, run)
    trackers = open_trackers(run, config, registry, first_epoch=trainer.progress.epoch)
    status, scores = "failed", {}
    registry.notify("lfads_run_started", run=run)
    try:
        with stop_wish() as wish:  # for the loop only: inference and figures can be made again, so Ctrl-C stops them at once
            display.start(config.train.epochs, _seconds_left(trainer))
            outcome = fit(trainer, _reporter(trainer, registry, trackers, display), wish)
        display.stop()
        if trainer.trace is not None:
            trainer.trace.close()
            display.message(f"trace of {trainer.trace.done} steps: {trainer.trace.path} (open it in ui.perfetto.dev)")
        if wish.asked:  # also when the last epoch ended before the wish was read
            outcome = status = "interrupted"
        else:
            display.message(f"training ended after {trainer.progress.epoch} epochs: {_reason(outcome, config)}")
            scores = finish(run, trainer.data.sessions, registry, display.message, device=str(trainer.model.device))
            status = "finished"
            trackers.final(max(trainer.progress.epoch - 1, 0), scores)
            trackers.artifacts(_artifacts(run))
    except KeyboardInterrupt as err:
        status = "interrupted"
        raise KeyboardInterrupt(f"go on with: lfads run --resume {shlex.quote(str(run.path))}") from err
    finally:
        display.stop()
        how = {"outcome": outcome} if status == "finished" else {}
        unsaid = _close(run, trackers, registry, status, epochs=trainer.progress.epoch, scores=scores, **how)
    if unsaid is not None:  # run.json says "running" for ever
        raise unsaid
    return Finished(run=run, outcome=outcome, scores=scores)


def _seconds_left(trainer: Trainer) -> float | None:
    minutes = trainer.config.train.minutes
    return None if minutes is None else 60 * minutes - trainer.progress.seconds


def _close(run: Run, trackers: Trackers, registry: Registry, status: str, **known: Any) -> RunError | None:
    """Say everywhere how the run ended, and return why ``run.json`` does not: nothing that fails here may hide what ended it."""
    unsaid = None
    try:
        run.update_state(status=status, **known)
    except RunError as err:
        log.warning("%s", err)
        unsaid = err
    registry.notify("lfads_run_finished", run=run, status=status)
    trackers.close(status)
    return unsaid


def _reporter(trainer: Trainer, registry: Registry, trackers: Trackers, display: Display) -> Callable[[EpochResult], None]:
    """What happens to the numbers of each epoch."""

    def report(ended: EpochResult) -> None:
        epoch, row, means = ended.epoch, ended.row, ended.validation.means
        if means:
            scores = score(means, trainer.data.sessions, "valid", trainer.model, registry, taken=[name.removeprefix("valid/") for name in row])
            row.update({f"valid/{name}": value for name, value in scores.items()})
        trackers.log(epoch, row)
        display.update(epoch, row)
        registry.notify("lfads_epoch_ended", run=trainer.run, epoch=epoch, row=row)

    return report


def _reason(outcome: Outcome, config: RunConfig) -> str:
    return {
        "epochs": "train.epochs reached",
        "minutes": f"train.minutes ({config.train.minutes}) used up",
        "early stopping": f"no better validation cost for {config.train.early_stopping} epochs",
        "learning rate": "the learning rate has fallen to optim.min_lr",
        "interrupted": "interrupted",
    }[outcome]


def _artifacts(run: Run) -> list[Path]:
    return [run.config_path, run.fitlog, run.plots, run.checkpoints, *run.outputs]


def _only_allowed(path: Path, before: RunConfig, after: RunConfig) -> None:
    """Refuse changes to what the weights depend on."""
    if after.train.seed != before.train.seed:
        raise RunError(f"{path}: a resumed run must keep train.seed ({before.train.seed}), got {after.train.seed}. Start a new run for another seed.")
    brought = [a.name for a in attrs.fields(type(after)) if a.metadata["search"] == ELSEWHERE]
    was, will = unstructure(before), unstructure(after)  # for plugins' own types may not be comparable
    allowed = ["train", "infer", *brought, "optim"]
    groups = [name for name in will if name not in allowed and will[name] != was[name]]
    if groups:
        raise RunError(
            f"{path}: a resumed run may change {', '.join(allowed[:-1])} and {allowed[-1]}, got changes in {', '.join(groups)}. "
            "Start a new run for those."
        )
