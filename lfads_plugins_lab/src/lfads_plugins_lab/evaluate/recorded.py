"""A run's sessions with what was inferred of them, read from its output files alone: the recordings need not be there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lfads_core.components.evaluation import Evaluation
from lfads_core.data.hdf5 import read_hdf5, size_in_memory
from lfads_core.data.known import differences, fingerprint, know
from lfads_core.data.memory import SAMPLE_BYTES, room_for_data
from lfads_core.data.session import Session
from lfads_core.errors import RunError
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.made_with import require_same_session, require_same_weights
from lfads_core.infer.run import check_fit

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """One session: its trials, and in each split's ``extras`` whatever was inferred under the names of the output file."""

    session: Session
    support: str
    is_rate: bool

    @property
    def name(self) -> str:
        """The session's name in the model."""
        return self.session.name

    @property
    def splits(self) -> list[str]:
        """Splits that are there, in their order."""
        return [split for split in SPLITS if split in self.session.splits]

    def evaluation(self, split: str, *, with_train: bool = True) -> Evaluation:
        """A split as metrics see it; all but the training trials know these."""
        data = self.session.splits[split]
        return Evaluation(
            session=self.name,
            split=split,
            means=data.extras["output_params"],
            data=data.recon,
            encod_bins=data.encod.shape[1],
            encod_channels=data.encod.shape[2] if all(one.nested for one in self.session.splits.values()) else 0,
            support=self.support,
            is_rate=self.is_rate,
            bin_ms=self.session.bin_ms,
            behaviour=self.session.behaviour,
            train=self.evaluation("train") if with_train and split != "train" and "train" in self.session.splits else None,
            extras=data.extras,
        )


def recorded_sessions(loaded: LoadedRun, names: Sequence[str] = ()) -> list[Recorded]:
    """The sessions of a run, or those named.

    Raises:
        RunError: a session is unknown, has not been inferred yet, or its file holds another one.
        DataError: an output file is damaged, or does not fit the model.
    """
    known = [info.name for info in loaded.description.sessions]
    if unknown := [name for name in names if name not in known]:
        raise RunError(f"{loaded.run.path}: must know the session {unknown[0]!r}, got {', '.join(known)}. Name one of these.")
    wanted = [name for name in known if not names or name in names]
    wanted = [name for name in wanted if names or loaded.run.output(name).is_file()] or wanted  # an adapted run has outputs of its own sessions
    return [_read(loaded, name) for name in wanted]


def left_out(loaded: LoadedRun, recorded: Sequence[Recorded]) -> list[str]:
    """A sentence for each session of the model that is not among these, for it has no outputs."""
    there = {one.name for one in recorded}
    missing = [info.name for info in loaded.description.sessions if info.name not in there]
    return [f"{loaded.run.path}: the session '{name}' is left out, for there is no {loaded.run.output(name).name}." for name in missing]


def _read(loaded: LoadedRun, name: str) -> Recorded:
    path = loaded.run.output(name)
    if not path.is_file():
        raise RunError(f"{path}: there are no outputs yet. Make them with `lfads infer {loaded.run.path}`.")
    require_same_session(path, name)
    require_same_weights(loaded, name)
    memory = loaded.config.data.memory_gb
    room = room_for_data() if memory is None else int(memory * 1e9)
    session = read_hdf5(path, name=name, required=(), keep_on_disk=size_in_memory(path) > room, room=max(room, 16 * SAMPLE_BYTES))
    for split, data in session.splits.items():
        if "output_params" not in data.extras:
            raise RunError(f"{path}: '{split}_output_params' must be there, got none. Make it with `lfads infer {loaded.run.path}`.")
    if (trained := loaded.description.known.get(name)) is not None:
        given = replace(know(session), channels=None, contents=fingerprint(session))  # channels stand in the model's order there
        if other := differences(trained, given):
            log.warning("%s: holds outputs of another recording than the model was trained on: %s.", path, " and ".join(other))
    check_fit(loaded, [session])
    reconstruction = loaded.model.reconstructions[name]
    return Recorded(session=session, support=reconstruction.support, is_rate=reconstruction.is_rate)
