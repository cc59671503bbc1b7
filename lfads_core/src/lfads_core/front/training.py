"""What every training from Python shares: a folder of its own, progress to look at, and a way to stop."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from lfads_core.errors import LfadsError
from lfads_core.front.brought import as_path
from lfads_core.front.logs import logs_said
from lfads_core.front.recording import Recording, Recordings, as_recordings, placed
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.loading import load as load_run
from lfads_core.pipeline.run import Finished
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run, checked_name, default_name, free_folder
from lfads_core.train.checkpoint import has_checkpoint
from lfads_core.train.progress import Display

Settings = Mapping[str, Any]
"""Settings by name, nested as in a file or with dots in their names: ``{"optim.lr": 0.002}``."""


class RunOptions(TypedDict, total=False):
    """Where a run goes, and what is seen of it."""

    config: str | Path | Sequence[str | Path]  #: settings files, over which settings win
    name: str  #: of its folder; by default the data's, with a number where that is taken
    runs: str | Path  #: folder of all runs, ``runs`` by default
    progress: bool  #: whether the training is shown, True by default


def place_of(options: Mapping[str, Any], usual: str) -> tuple[Path, bool]:
    """A run's folder, and whether a number may follow its name.

    Raises:
        ConfigError: the name is none for a folder.
    """
    name = options.get("name")
    return as_path("runs", options.get("runs", "runs")) / (usual if name is None else checked_name(name)), name is None


def name_of(recordings: Recordings) -> str:
    """A run's name: that of its recording, or of the folder of several files."""
    several = as_recordings(recordings)
    files = [one for one in several if not isinstance(one, Recording)]
    if len(files) == len(several):
        return default_name(files)
    return "sessions" if len(several) > 1 or not isinstance(several[0], Recording) else several[0].name


@contextmanager
def with_folder(path: Path, numbered: bool, recordings: Recordings) -> Iterator[tuple[Path, list[str | Path]]]:
    """A new folder for a run or a search, and the files of its recordings; if nothing comes about, nothing is left of them.

    ``numbered`` takes ``path-2`` and so on when ``path`` is taken.

    Raises:
        RunError: the folder is taken.
    """
    if not numbered and Run(path).state_path.exists():
        Run.create(path)  # which says that it is taken
    folder, existed = free_folder(path) if numbered else path, not numbered and path.exists()
    try:
        yield folder, placed(recordings, folder)
    except BaseException as err:
        if not existed and not (folder / "config.yaml").exists():  # which a run and a search write first
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(err, LfadsError):
                name_recordings(err, folder)
        raise


def name_recordings(err: LfadsError, folder: Path) -> None:
    """Let an error name recordings whose files were only in passing in this folder, see :func:`placed`."""
    gone = re.escape(str(folder / "recordings")) + r"/([\w-]+)\.h5"
    err.args = tuple(re.sub(gone, r"recording '\1'", str(arg)) for arg in err.args)


def watched(run: Run, train: Callable[[Display], Finished], registry: Registry, *, progress: bool) -> LoadedRun:
    """Train with progress to look at; an interrupted run is one too, once it has weights."""
    display = Display(None if progress else io.StringIO())
    with logs_said(display.message):
        try:
            interrupted = train(display).outcome == "interrupted"
        except KeyboardInterrupt:
            if not has_checkpoint(run.checkpoints, "last"):
                raise
            interrupted = True
        if interrupted:
            display.message(f"interrupted; everything is saved in {run.path}. Go on with run.resume()")
    return load_run(run.path, registry=registry)
