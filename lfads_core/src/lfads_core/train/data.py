"""Sessions on their way into training: read, held out, checked, put on the device."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lfads_core.config.fields import known
from lfads_core.config.schema import RunConfig
from lfads_core.data.by_name import as_trained
from lfads_core.data.checks import batch_note, check_sessions, require
from lfads_core.data.hold_out import hold_out_channels
from lfads_core.data.inspect import inspect_session
from lfads_core.data.known import fingerprint, know
from lfads_core.data.loader import HostTrials, SplitTensors, StoredTrials, TrialSource
from lfads_core.data.memory import room_for_data
from lfads_core.data.read import read_sessions
from lfads_core.data.session import KnownData, Session, Split
from lfads_core.errors import DataError
from lfads_core.model.build import build_component, build_stacks
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import ReconstructionSpec
from lfads_core.train.unseen import check_judge
from lfads_core.trial.metrics import try_metrics
from lfads_core.wording import listed

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Sessions, and their splits as tensors."""

    sessions: Sequence[Session]
    splits: Mapping[str, Mapping[str, TrialSource]]  # by split, then by session


def read_for(
    config: RunConfig,
    patterns: Sequence[str | Path],
    registry: Registry,
    *,
    required: Collection[str] = ("train", "valid"),
    trained: Mapping[str, KnownData] | None = None,
    contents: bool = True,
) -> list[Session]:
    """Read sessions, which must have the ``required`` splits, and hold channels out as the settings say.

    What a file says of itself goes along, with a fingerprint of its ``contents`` where wanted. ``trained`` is what a model knows of
    its sessions: each file's channels are brought into that order.

    Raises:
        DataError: files that cannot be read, or are no recordings of the channels and bins that a model was trained on.
    """
    memory = config.data.memory_gb
    sessions = read_sessions(patterns, registry, required=required, room=room_for_data() if memory is None else int(memory * 1e9))
    if any(session.stored for session in sessions):
        log.info("data: read from disk trial by trial, for they are larger than data.memory_gb allows")
    sessions = [replace(session, known=know(session)) for session in sessions]
    if trained:
        only = next(iter(trained.values())) if len(trained) == len(sessions) == 1 else None
        sessions = [as_trained(s, of) if (of := only or trained.get(s.name)) is not None else s for s in sessions]
    held = config.data.hold_out
    sessions = sessions if held is None else [hold_out_channels(session, held.fraction, held.seed) for session in sessions]
    return [replace(s, known=replace(s.known, contents=fingerprint(s))) if contents and s.known is not None else s for s in sessions]


def check_for(config: RunConfig, sessions: Sequence[Session], registry: Registry) -> None:
    """Check sessions against the components that the settings choose; warnings go to the log, and a word on a step that shrinks.

    Raises:
        ConfigError: they lack the cost that the settings judge by.
        DataError: every fault, one line each.
        PluginError: a metric gives no numbers.
    """
    check_judge(config, sessions)
    chosen = config.components.reconstruction
    reconstruction = build_component(registry, ReconstructionSpec, chosen, 1)
    observing = all(any(part.observes_missing for part in stack.batch_order) for stack in build_stacks(config, registry))
    problems = check_sessions(sessions, support=reconstruction.support, observes_missing=observing)
    for session in sessions:
        problems += inspect_session(session, chosen.name, registry)
    for problem in problems:
        if problem.severity == "warning":
            log.warning("%s", problem.text)
    require(problems)
    trials = sum(session.trials("train") for session in sessions)
    if (note := batch_note(trials, len(sessions), known(config.data.batch_size, "data.batch_size"))) is not None:
        log.info("%s", note)
    try_metrics(sessions[0], reconstruction, registry)


def put_on(device: str, sessions: Sequence[Session], arrays: Mapping[str, str] | None = None) -> TrainingData:
    """Every split of every session as trials for the device: kept there whole, or read from disk batch by batch.

    ``arrays`` are keys of what rides along with each trial, and the name of a loss that needs it.

    Raises:
        DataError: something is to ride along with trials that stay on disk, or is not there.
    """
    for session in sessions:
        _check_riding(session, arrays or {})
    names = [name for name in ("train", "valid", "test") if all(name in session.splits for session in sessions)]
    return TrainingData(sessions=sessions, splits={name: {s.name: trial_source(s, name, device, arrays or ()) for s in sessions} for name in names})


def trial_source(session: Session, split: str, device: str | torch.device, arrays: Collection[str] = ()) -> TrialSource:
    """One split of a session as trials for the device."""
    if session.stored:
        return StoredTrials(session.stored[split], device)
    data = session.splits[split]
    if fits(data, device):
        return SplitTensors.from_split(data, device, extras=arrays)
    return HostTrials(SplitTensors.from_split(data, extras=arrays), device)


def _check_riding(session: Session, arrays: Mapping[str, str]) -> None:
    where = session.path or session.name
    if arrays and session.stored:
        raise DataError(
            f"{where}: {listed(sorted(arrays))} must be at hand with each trial for components.losses, got a recording that is read from disk. "
            "Raise data.memory_gb, or cut the file."
        )
    for split in ("train", "valid"):
        for key in sorted(arrays):
            if split in session.splits and key not in session.splits[split].extras:
                loss = f"the loss {arrays[key]!r} (components.losses)"
                raise DataError(f"{where}: '{split}_{key}' must be there for {loss}, got nothing of that name.")


def fits(split: Split, device: str | torch.device) -> bool:
    """Whether a split may stay on the device: on a GPU within a quarter of the memory that is free there, for the model needs the most."""
    if torch.device(device).type != "cuda":
        return True
    values = split.encod.size + (0 if split.recon is split.encod else split.recon.size) + split.external.size
    free, _ = torch.cuda.mem_get_info(device)
    return 4 * values * torch.float32.itemsize <= free
