"""Following a recording that drifts: what a model's latents are like on the days before is shown to the alignments of the new sessions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfads_core.config.schema import RunConfig
from lfads_core.data.session import Session
from lfads_core.errors import DataError, RunError
from lfads_core.infer.alignment import alignments_of, distance_within, distances, meet, sampled_latents
from lfads_core.infer.run import say_other_contents
from lfads_core.model.build import build_stacks
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_core.train.data import read_for


def follow(model: LFADS, description: ModelDescription, config: RunConfig, new: Sequence[Session], parent: Run, registry: Registry) -> dict[str, Any]:
    """Have each new session's alignment meet the latents of the sessions before; returns what is to be remembered of it.

    These are the sessions of the parent, or of whom it follows itself, so that distances do not add up from day to day.

    Raises:
        DataError: their recordings are no longer there, or hold but one training trial.
    """
    before = first_followed(parent)
    old = _recordings(before, description, config, registry)
    stack = build_stacks(config, registry)[1]
    latents = sampled_latents(model, config, stack, old)
    if len(latents.factors) < 2:
        raise DataError(f"{before.path}: a model to be followed must have at least two training trials, got one. Adapt without --align.")
    within = {}
    for session in new:
        part = alignments_of(model)[session.name]
        within[session.name] = distance_within(part, latents, session.trials("train"), config.train.seed)
        meet(part, latents)
    name = "" if config.components.alignment is None else config.components.alignment.name
    return {"name": name, "to": [session.name for session in old], "within": within, "before": distances(model, config, stack, new)}


def first_followed(run: Run) -> Run:
    """The run itself, or the first before it that follows none.

    Raises:
        RunError: ``run.json`` does not say what a run follows, or they follow each other.
    """
    seen = [run.path]
    while "alignment" in (state := run.read_state()):
        if "adapted_from" not in state:
            raise RunError(f"{run.state_path}: 'adapted_from' must be the parent's run and checkpoint, got none. Restore it, or adapt again.")
        run = Run.open(Path(state["adapted_from"]["run"]))
        if run.path in seen:
            raise RunError(f"{run.state_path}: 'adapted_from' must end with a run that follows none, got a circle. Restore it, or adapt again.")
        seen.append(run.path)
    return run


def _recordings(run: Run, description: ModelDescription, config: RunConfig, registry: Registry) -> list[Session]:
    try:
        sessions = read_for(config, run.data, registry, trained=description.known)
    except DataError as err:
        raise DataError(
            f"{run.path}: the recordings it was trained on must be at hand, for new days are aligned to them, but: {err} "
            f"Where they were is said in {run.state_path.name} under 'data'; put them there."
        ) from err
    for session in sessions:
        trained = description.known.get(session.name)
        if trained is not None and session.known is not None and session.path is not None:
            say_other_contents(session.path, trained, session.known)
    return sessions
