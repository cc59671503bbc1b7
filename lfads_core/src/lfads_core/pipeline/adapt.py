"""Add sessions to a trained model, everything it has learnt left as it is: ``lfads adapt`` without its command line."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from lfads_core.config.chosen import ComponentsConfig
from lfads_core.config.fields import known
from lfads_core.config.load import resolve_saved
from lfads_core.config.schema import RunConfig
from lfads_core.data.known import other_alignment
from lfads_core.data.session import Session
from lfads_core.errors import ConfigError, DataError
from lfads_core.infer.loading import LoadedRun
from lfads_core.locks import only_one
from lfads_core.model.build import build_stacks
from lfads_core.model.extend import extend_model
from lfads_core.pipeline.follow import follow
from lfads_core.pipeline.run import Finished, record_start, train_and_finish
from lfads_core.pipeline.starts import nearest_start
from lfads_core.plugins.specs import AlignmentSpec
from lfads_core.runs import Run
from lfads_core.train.auto import resolve_auto
from lfads_core.train.data import check_for, put_on, read_for
from lfads_core.train.device import choose_device
from lfads_core.train.progress import Display
from lfads_core.train.threads import set_threads
from lfads_core.train.trainer import Trainer

log = logging.getLogger(__name__)

WITHOUT_RAMPS = (
    *(f"regularisation.{ramp}.{key}=0" for ramp in ("kl_ramp", "l2_ramp") for key in ("start_epoch", "increase_epochs")),
    "train.only=[]",
    "train.frozen=[]",
    "train.prune=null",
    "components.alignment=null",
)
"""What an adaptation changes in the parent's settings: ramps protect a generator that has learnt nothing yet, and this one has; what the
parent left as it was concerns no new session, nor does whom it followed."""

LEARNING_RATE = 0.01
"""At which an alignment begins: read-ins alone move, and have little time."""


def adapt_run(
    parent: LoadedRun,
    patterns: Sequence[str | Path],
    overrides: Sequence[str],
    display: Display,
    path: Path,
    *,
    align: str | None = None,
    numbered: bool = False,
) -> Finished:
    """Train the layers of new sessions on a trained model that stays as it is, in a run folder of its own.

    Only read-ins, read-outs and reconstructions of the new sessions are trained; encoders, generator, priors and every layer
    of the old sessions keep their weights to the bit. The new run remembers its parent as ``adapted_from`` in ``run.json``,
    is inferred and resumed like any other, and can itself be adapted. Settings are the parent's, without ramps and with no
    larger batch than there are trials, changed by ``overrides``.

    ``align`` names an alignment, which keeps the new sessions' latents where those of the old ones are: the parent's further losses
    are left out, for they may need labels, and the training is short. What comes of it stands as ``alignment`` in ``run.json``.

    Raises:
        ConfigError: an override changes the model, or the model cannot take further sessions.
        PluginError: nobody offers the alignment.
        DataError: the new sessions are known already or do not fit the model.
        RunError: the new folder is taken.
    """
    registry = parent.registry
    config = adapted_config(parent, overrides, align)
    sessions = read_for(config, patterns, registry)
    _check_new(parent, sessions, align)
    config = resolve_auto(config, sessions)
    said = {text.partition("=")[0].strip() for text in overrides}
    if "data.batch_size" not in said:
        config = _with_a_batch_that_fits(config, sessions)
    steps = 0 if align is None else registry.get(AlignmentSpec, align).steps
    if align is not None and not said & {"train.epochs", "train"}:
        config = _of_so_many_steps(config, sessions, steps)
    check_for(config, sessions, registry)
    device = choose_device(config.train.device)
    set_threads(config.train)
    model, description = extend_model(config, parent.description, parent.model.state_dict(), sessions, registry, device)
    data, stacks = put_on(device, sessions, model.arrays_wanted), build_stacks(config, registry)
    origin: dict[str, Any] = {"adapted_from": {"run": str(parent.run.path.resolve()), "checkpoint": parent.checkpoint}}
    if align is not None:
        met = follow(model, description, config, sessions, parent.run, registry)
        tried = nearest_start(model, description, _half_as_long(config, sessions, steps), data, stacks, met["within"], registry)
        origin["alignment"] = {**met, "starts": tried}
        if tried > 1:
            display.message(f"read-ins start at the nearest of {tried} starts: from the first one a short training ended far from the days before")
    run = Run.create(path, numbered=numbered)
    with only_one(run.path):
        record_start(run, patterns, config, registry, **origin)
        return train_and_finish(Trainer(run, config, model, description, data, stacks), registry, display)


def adapted_config(loaded: LoadedRun, overrides: Sequence[str], align: str | None = None) -> RunConfig:
    """Settings of an adaptation of this run.

    Raises:
        ConfigError: an override is none, or changes what the trained weights depend on.
        PluginError: nobody offers the alignment.
    """
    changes = [*WITHOUT_RAMPS, *_read_in(loaded)]
    if align is not None:
        loaded.registry.get(AlignmentSpec, align)  # raises if nobody offers it
        changes += [f"components.alignment={align}", "components.losses=[]", f"optim.lr={LEARNING_RATE}"]
    before = resolve_saved(loaded.run.config_path, loaded.registry, changes)
    after = resolve_saved(loaded.run.config_path, loaded.registry, [*changes, *overrides])
    model = attrs.evolve(after.model, dropout=before.model.dropout)
    if model != before.model or _lasting(after.components, align) != _lasting(before.components, align):
        raise ConfigError(
            "--set: an adapted model must keep its parent's network and components, got a change in "
            f"{'model' if model != before.model else 'components'}. Only model.dropout and components.*_augmentations may change; "
            "train a new model for the rest."
        )
    return after


def _read_in(loaded: LoadedRun) -> list[str]:
    """What further sessions are read in by where the parent's settings say nothing: as its sessions are, or at the width of its only one."""
    if loaded.config.components.readin is not None:
        return []
    if loaded.model.readins:
        return ["components.readin=linear"]
    return [f"components.readin={{name: linear, size: {loaded.description.sessions[0].encod_channels}}}"]


def _of_so_many_steps(config: RunConfig, sessions: Sequence[Session], steps: int) -> RunConfig:
    """As many epochs as make about these steps."""
    trials = sum(session.trials("train") for session in sessions)
    each = known(config.data.passes, "data.passes") * math.ceil(trials / known(config.data.batch_size, "data.batch_size"))
    return attrs.evolve(config, train=attrs.evolve(config.train, epochs=max(1, round(steps / each))))


def _half_as_long(config: RunConfig, sessions: Sequence[Session], steps: int) -> RunConfig:
    """What a start is tried with: half of these steps, and no more epochs than the training has."""
    short = _of_so_many_steps(config, sessions, steps // 2)
    return attrs.evolve(short, train=attrs.evolve(short.train, epochs=min(short.train.epochs, config.train.epochs)))


def _with_a_batch_that_fits(config: RunConfig, sessions: Sequence[Session]) -> RunConfig:
    """A step of the parent drew from all its sessions; one new session may have fewer trials than that."""
    trials = sum(session.trials("train") for session in sessions)
    return attrs.evolve(config, data=attrs.evolve(config.data, batch_size=max(1, min(known(config.data.batch_size, "data.batch_size"), trials))))


def _lasting(components: ComponentsConfig, align: str | None) -> ComponentsConfig:
    """All but what may change: of an alignment its settings."""
    same = components.alignment is not None and components.alignment.name == align
    alignment = None if same else components.alignment
    return attrs.evolve(components, train_augmentations=(), infer_augmentations=(), loss_order=None, alignment=alignment)


def _check_new(loaded: LoadedRun, sessions: Sequence[Session], align: str | None) -> None:
    trained_on = {info.name for info in loaded.description.sessions}
    for session in sessions:
        if session.name in trained_on:
            raise DataError(
                f"{session.path or session.name}: a new session must have a name of its own, got {session.name!r}, "
                f"which {loaded.run.path} was trained on. Rename the file, or use `lfads infer` for new trials of that session."
            )
        trained = next(iter(loaded.description.known.values()), None)
        if trained is not None and session.known is not None and (other := other_alignment(trained, session.known)):
            log.warning("%s: has %s.", session.path or session.name, " and ".join(other))
    if not loaded.model.readins and align is None:
        raise ConfigError(
            f"{loaded.run.path}: a model that takes further sessions must have a read-in for each, got one trained without. "
            "Train it anew with --set components.readin=linear."
        )
