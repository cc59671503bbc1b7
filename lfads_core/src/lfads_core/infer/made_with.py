"""Which weights an output file was made with, so that outputs and weights of a run are never taken for one another's."""

from __future__ import annotations

from pathlib import Path

from lfads_core.data.hdf5 import opened_outputs
from lfads_core.errors import DataError, RunError
from lfads_core.infer.loading import LoadedRun, load
from lfads_core.infer.outputs import CHECKPOINT, SESSION
from lfads_core.runs import Run


def load_inferred(path: Path, checkpoint: str | None = None) -> LoadedRun:
    """Load a run with the weights its outputs were made with, or with those named.

    Raises:
        RunError: the folder is no run, or its checkpoint is missing or damaged.
    """
    if checkpoint is None:
        checkpoint = next((name for name in map(made_with, Run(path).outputs) if name), None)
    return load(path, checkpoint)


def made_with(path: Path) -> str:
    """Name of the checkpoint that an output file was made with; empty if there is no such file or it does not say."""
    return _said_by(path, CHECKPOINT)


def require_same_session(path: Path, session: str) -> None:
    """Make sure that an output file holds the session whose name it bears; other programs' files do not say.

    Raises:
        RunError: it holds another one.
    """
    held = _said_by(path, SESSION)
    if held and held != session:
        raise RunError(f"{path}: must hold the session '{session}', got outputs of '{held}'. Give files back the names that `lfads infer` gave them.")


def require_same_weights(loaded: LoadedRun, session: str) -> None:
    """Make sure that a session's output file was made with the weights that are loaded; older files do not say.

    Raises:
        RunError: it was made with others.
    """
    path = loaded.run.output(session)
    used = made_with(path)
    if used and used != loaded.checkpoint:
        raise RunError(
            f"{path}: must be of the checkpoint {loaded.checkpoint}, got outputs of {used}. "
            f"Make them with `lfads infer {loaded.run.path} --checkpoint {loaded.checkpoint}`."
        )


def _said_by(path: Path, attribute: str) -> str:
    """An attribute of an output file; empty if there is no such file or it does not say."""
    try:
        with opened_outputs(path) as file:
            return str(file.attrs.get(attribute, ""))
    except DataError:  # whoever reads the file says what is wrong with it
        return ""
