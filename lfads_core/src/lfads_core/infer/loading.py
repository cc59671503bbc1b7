"""A finished or interrupted run as a Python object: ``lfads_core.load(path)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lfads_core.augment.stack import AugmentationStack
from lfads_core.config.schema import RunConfig
from lfads_core.config.trained import settings_of_run
from lfads_core.data.hdf5 import opened_outputs
from lfads_core.errors import RunError
from lfads_core.model.build import build_model, build_stacks
from lfads_core.model.description import ModelDescription
from lfads_core.model.lfads import LFADS
from lfads_core.plugins import Registry, registry_of
from lfads_core.recurrence.choose import recurrence_for
from lfads_core.runs import Run
from lfads_core.track.fitlog import read_fitlog
from lfads_core.train.checkpoint import Checkpoint, Which, checkpoint_named, fitting, has_checkpoint, load_checkpoint
from lfads_core.wording import shown


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedRun:
    """A run's model with its trained weights, its settings, and ways to its outputs and log."""

    run: Run
    config: RunConfig
    model: LFADS
    description: ModelDescription
    checkpoint: Which  # the weights that were loaded
    registry: Registry

    @property
    def infer_stack(self) -> AugmentationStack:
        """What batches go through before inference."""
        return build_stacks(self.config, self.registry)[1]

    def outputs(self, session: str | None = None) -> dict[str, np.ndarray]:
        """Arrays of a session's output file; with one session it need not be named.

        Raises:
            RunError: there is no such file yet.
            DataError: it is damaged.
        """
        with self._output_file(session) as file:
            return {key: value[()] for key, value in file.items()}

    def output_attributes(self, session: str | None = None) -> dict[str, Any]:
        """Attributes of a session's output file: bin width, the event that trials are aligned to, whatever the recording said.

        Raises:
            RunError: there is no such file yet.
            DataError: it is damaged.
        """
        with self._output_file(session) as file:
            return dict(file.attrs)

    def _output_file(self, session: str | None) -> AbstractContextManager[Any]:
        names = [s.name for s in self.description.sessions]
        if session is None and len(names) > 1:
            raise RunError(f"{self.run.path}: which session must be named, got none of {', '.join(names)}.")
        if not (session is None or (isinstance(session, str) and session in names)):
            raise RunError(f"{self.run.path}: must know the session {shown(session)}, got {', '.join(names)}. Name one of these.")
        path = self.run.output(session or names[0])
        if not path.is_file():
            raise RunError(f"{path}: there are no outputs yet. Make them with `lfads infer {self.run.path}`.")
        return opened_outputs(path)

    @property
    def default_samples(self) -> int | None:
        """Posterior samples that the settings ask for; None, the posterior means, for a model that never sampled while it was trained."""
        return self.config.infer.samples if self.config.model.variational else None

    def columns(self) -> Mapping[str, Sequence[float]]:
        """The columns of ``fitlog.csv``."""
        return read_fitlog(self.run.fitlog)

    def parameters(self) -> dict[str, np.ndarray]:
        """Every trained parameter by name."""
        return {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}


def load(path: str | Path, which: str | None = None, *, device: str = "cpu", registry: Registry | None = None) -> LoadedRun:
    """Load a run's model from its checkpoint.

    ``which`` is ``best``, ``last`` or an epoch that was kept, ``epoch-12``; None takes what the run's settings name, and the last one
    stands in while there is no best.

    Raises:
        RunError: the folder is no run, or its checkpoint is missing or damaged.
        ConfigError: its settings cannot be read by this version.
        PluginError: a component's package is not installed.
    """
    run = Run.open(Path(path))
    registry = registry or registry_of(run.path)
    config = settings_of_run(run, (), registry)
    wanted = checkpoint_named(which or config.infer.checkpoint)
    if which is None and wanted == "best" and not has_checkpoint(run.checkpoints, "best"):
        wanted = "last"
    checkpoint = load_checkpoint(run.checkpoints, wanted, device)
    with fitting(run.checkpoints, wanted):
        description = description_of(checkpoint)
        model = build_model(config, description, registry).to(device)
        model.load_state_dict(checkpoint.tensors.get("average", {}).get("weights", checkpoint.tensors["model"]))
    model.loops = recurrence_for(config, device)
    return LoadedRun(run=run, config=config, model=model.eval(), description=description, checkpoint=wanted, registry=registry)


def description_of(checkpoint: Checkpoint) -> ModelDescription:
    """Read the sizes and arrays a checkpoint keeps."""
    arrays: Mapping[str, Mapping[str, Any]] = checkpoint.tensors["arrays"]
    return ModelDescription.from_json(
        checkpoint.state["description"], {name: {key: value.numpy() for key, value in of.items()} for name, of in arrays.items()}
    )
