"""Where members start a generation from: a folder ``start`` in each one's, so that a generation can be carried out again after any interruption."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lfads_core.errors import RunError
from lfads_core.files import spoken_failure
from lfads_core.runs import Run
from lfads_plugins_tune.search.state import Member

_FRESH = ("checkpoints", "start", "fitlog.csv", "run.json")


def member_folder(search: Path, member: int) -> Path:
    """The run folder of one member."""
    return search / "members" / f"{member:03d}"


def prepare_starts(search: Path, members: Iterable[Member]) -> None:
    """Lay down every waiting member's start: its parent's checkpoints as they are now, or nothing for one that starts afresh.

    No member may have begun its generation; then this can be interrupted and done again.

    Raises:
        RunError: a parent has no checkpoint, or the folder cannot be written.
    """
    for member in members:
        if member.status == "waiting":
            prepare_start(search, member)


def prepare_start(search: Path, member: Member) -> None:
    """As :func:`prepare_starts`, for one."""
    folder = member_folder(search, member.member)
    with spoken_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if member.parent is None:
            for name in _FRESH:
                _remove(folder / name)
            return
        source = Run(member_folder(search, member.parent)).checkpoints
        if not (source / "last.json").is_file():
            raise RunError(f"{source}: member {member.member} must go on from the checkpoint 'last' there, but there is none. Restore it.")
        copy_checkpoints(source, folder / "start")


def copy_checkpoints(source: Path, target: Path) -> None:
    """Make ``target`` a folder with the checkpoints of ``source``, by links where the file system has them: they are never changed in place."""
    fresh = target.with_name(f".{target.name}.new")
    _remove(fresh)
    fresh.mkdir()
    for file in sorted(source.iterdir()):
        if file.suffix in {".json", ".pt"} and not file.name.startswith("."):
            try:
                os.link(file, fresh / file.name)
            except OSError:
                shutil.copy2(file, fresh / file.name)
    _remove(target)
    fresh.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
