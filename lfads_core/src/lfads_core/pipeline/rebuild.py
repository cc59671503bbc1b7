"""The model of a run that goes on, as it was when the run began."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.data.session import Session
from lfads_core.infer.loading import description_of
from lfads_core.model.build import prepare_model
from lfads_core.model.description import ModelDescription, describe
from lfads_core.model.extend import extend_model
from lfads_core.model.lfads import LFADS
from lfads_core.pipeline.follow import follow
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_core.train.checkpoint import checkpoint_named, fitting, has_checkpoint, load_checkpoint


def rebuild_model(run: Run, config: RunConfig, sessions: Sequence[Session], registry: Registry, device: str) -> tuple[LFADS, ModelDescription]:
    """Build the run's model for its sessions. An adaptation's holds its parent's sessions too, which its checkpoints remember.

    Raises:
        RunError: an adaptation was ended before its first checkpoint and its parent is gone, or a checkpoint does not fit.
    """
    state = run.read_state()
    if "adapted_from" not in state:
        return prepare_model(config, sessions, registry, device), describe(sessions)
    parent, which = Run(Path(state["adapted_from"]["run"])), checkpoint_named(state["adapted_from"]["checkpoint"])
    folder = parent.checkpoints
    begun = has_checkpoint(run.checkpoints, "last")
    if begun:
        folder, which = run.checkpoints, "last"
    checkpoint = load_checkpoint(folder, which)
    with fitting(folder, which):
        model, description = extend_model(config, description_of(checkpoint), checkpoint.tensors["model"], sessions, registry, device)
    if config.components.alignment is not None and not begun:
        follow(model, description, config, sessions, parent, registry)
    return model, description
