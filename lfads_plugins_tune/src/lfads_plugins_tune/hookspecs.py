"""Hooks that lfads-plugins-tune declares: what carries a search out, what decides in it, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from lfads_core.plugins.hookspecs import PROJECT
from lfads_plugins_tune.specs import ExecutorSpec, SearchSpec

if TYPE_CHECKING:
    from lfads_core.runs import Run
    from lfads_plugins_tune.search.history import Generation

_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def lfads_executors() -> Iterable[ExecutorSpec]:
    """Offer ways to carry a search's generations out, for `lfads search --executor NAME`.

    Example::

        @hookimpl
        def lfads_executors():
            yield ExecutorSpec(name="slurm", summary="A job for each member", build="lab_slurm:SlurmExecutor")
    """
    yield from ()


@_hookspec
def lfads_searches() -> Iterable[SearchSpec]:
    """Offer search algorithms, each as `lfads search NAME`.

    Example::

        @hookimpl
        def lfads_searches():
            yield SearchSpec(name="halving", summary="Stop the worse half after each generation.", build="lab_halving:Halving")
    """
    yield from ()


@_hookspec
def lfads_search_started(folder: Path, kind: str, members: Mapping[int, Path]) -> None:
    """Be told that a search begins, or goes on; ``members`` are the run folders of its members.

    Members are runs: ``lfads_run_started``, ``lfads_epoch_ended`` and ``lfads_run_finished`` tell of each, in the process that drives the search,
    whatever trains it.

    Example::

        @hookimpl
        def lfads_search_started(folder, kind, members):
            print("searching", folder, "with", len(members), "members")
    """


@_hookspec
def lfads_generation_ended(folder: Path, generation: Generation) -> None:
    """Be told how a generation ended: scores, statuses and hyperparameters of its members.

    Example::

        @hookimpl
        def lfads_generation_ended(folder, generation):
            print(generation.generation, [record.score for record in generation.members])
    """


@_hookspec
def lfads_search_finished(folder: Path, status: str, best: Run | None) -> None:
    """Be told how a search ended: ``finished`` with the run of its best model, ``interrupted`` or ``failed``.

    Example::

        @hookimpl
        def lfads_search_finished(folder, status, best):
            print(status, best)
    """
