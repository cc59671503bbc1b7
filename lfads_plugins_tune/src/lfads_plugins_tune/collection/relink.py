"""Recordings that have moved, for a run or search that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lfads_core.runs import Run
from lfads_plugins_tune.search.history import JOURNAL
from lfads_plugins_tune.search.state import read_state, write_state


def data_are_at(folder: Path, files: Sequence[Path]) -> None:
    """Have a run or search find its recordings where they are now. That they are the same ones, whoever calls this knows.

    Raises:
        RunError: there is no run or search, or it is damaged or cannot be written.
    """
    wanted = [str(file.resolve()) for file in files]
    if not (folder / JOURNAL).exists():
        run = Run.open(folder)
        if run.data != wanted:
            run.update_state(data=wanted)
    elif (state := read_state(folder)).data != tuple(wanted):
        write_state(folder, replace(state, data=tuple(wanted)))
