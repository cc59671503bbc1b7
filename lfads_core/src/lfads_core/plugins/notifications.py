"""Hooks that are told something and return nothing: the life of a run. Members of a search are runs too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from lfads_core.plugins.hookspecs import PROJECT

if TYPE_CHECKING:
    from lfads_core.config.schema import RunConfig
    from lfads_core.runs import Run

_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def lfads_run_started(run: Run) -> None:
    """Be told that training begins, or goes on; the settings are on disk at ``run.config_path``.

    Example::

        @hookimpl
        def lfads_run_started(run):
            print("started", run.path)
    """


@_hookspec
def lfads_epoch_ended(run: Run, epoch: int, row: Mapping[str, float]) -> None:
    """Be told the numbers of each epoch in a copy of one's own: its row of ``fitlog.csv``, told again if a killed process writes it again.

    Example::

        @hookimpl
        def lfads_epoch_ended(run, epoch, row):
            print(epoch, row["valid/recon"])
    """


@_hookspec
def lfads_run_finished(run: Run, status: str) -> None:
    """Be told how a run ended: ``finished``, ``interrupted`` or ``failed``.

    Example::

        @hookimpl
        def lfads_run_finished(run, status):
            print(status, run.path)
    """


@_hookspec
def lfads_run_evaluated(run: Run, config: RunConfig, numbers: Mapping[str, float], files: Sequence[Path]) -> None:
    """Be told scores that were found out about a run after it had ended, and the files that hold them.

    Example::

        @hookimpl
        def lfads_run_evaluated(run, numbers, files):
            print(run.path, numbers["valid/co_bps"])
    """
