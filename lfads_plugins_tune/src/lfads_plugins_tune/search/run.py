"""A search from data to its best model: ``lfads search`` without its command line."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lfads_core.config.load import resolve_saved
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import dump
from lfads_core.data.session import Session
from lfads_core.errors import LfadsError, RunError
from lfads_core.files import expanded, remove_leftovers, write_text
from lfads_core.locks import only_one
from lfads_core.pipeline.laws import tell_broken_laws
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.single_files import keep_files
from lfads_core.plugins.versions import versions
from lfads_core.runs import Run, free_folder
from lfads_core.train.auto import resolve_auto
from lfads_core.train.data import check_for, read_for
from lfads_core.train.interrupt import stop_wish
from lfads_plugins_tune.executors import DEFAULT, ExecutorOptions, make_executor
from lfads_plugins_tune.search.best import copy_out, find_best, infer_best
from lfads_plugins_tune.search.blamed import BlamedAlgorithm, BlamedExecutor
from lfads_plugins_tune.search.driver import Driver
from lfads_plugins_tune.search.executor import AbstractExecutor
from lfads_plugins_tune.search.history import JOURNAL
from lfads_plugins_tune.search.paths import faults_of
from lfads_plugins_tune.search.plan import Chances, SearchRule, with_another_try
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.report import WHY_STOPPED
from lfads_plugins_tune.search.score import choose_score
from lfads_plugins_tune.search.settings import SearchSettings, resolve_base, resolve_search
from lfads_plugins_tune.search.spaces_of import search_of
from lfads_plugins_tune.search.state import SearchState, read_state, write_state
from lfads_plugins_tune.search.trackers import draw_figures, tracked
from lfads_plugins_tune.specs import SearchSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """How a search ended. ``best`` is there once it has been inferred."""

    folder: Path
    state: SearchState
    best: Run | None = None


@dataclass(frozen=True, kw_only=True)
class Placing:
    """Where and how a search is carried out: nothing that its decisions depend on."""

    executor: str | None = None  # None: that of the search
    options: ExecutorOptions = ExecutorOptions()


def first_state(kind: str, base: RunConfig, patterns: Sequence[str | Path], registry: Registry, executor: str) -> tuple[SearchSettings, SearchState]:
    """Resolve a search and draw its first members; nothing is written.

    Raises:
        ConfigError, DataError: settings, spaces or data that do not do.
    """
    sessions = read_for(base, patterns, registry, contents=False)
    base = resolve_auto(base, sessions)
    score, judge = choose_score(base, sessions, registry)
    ready = resolve_search(kind, base, score, judge, registry)
    check_for(ready.base, sessions, registry)
    tell_broken_laws(ready.base, registry)
    members = BlamedAlgorithm(kind, registry).first(ready.spaces, search_of(base).members, chances_of(ready.base, registry))
    state = SearchState(
        kind=kind,
        executor=executor,
        data=tuple(str(expanded(p).resolve()) for p in patterns),
        spaces=ready.spaces,
        score=score,
        targets=ready.targets,
        burn_in=ready.burn_in,
        generation=0,
        members=members,
        versions=versions(registry),
    )
    return ready, state


Said = tuple[Sequence[Path], Sequence[str], Sequence[str], Mapping[str, Any]]
"""Settings of a search as a user says them: files, plugins, overrides, spaces."""


def planned_search(
    kind: str, patterns: Sequence[str | Path], said: Said, registry: Registry, placing: Placing | None
) -> tuple[SearchSettings, SearchState]:
    """Resolve what a user says, and draw the first members; nothing is written.

    Raises:
        ConfigError, DataError: settings, spaces or data that do not do.
    """
    files, plugins, overrides, spaces = said
    base = resolve_base(kind, files, plugins, overrides, spaces, registry)
    return first_state(kind, base, patterns, registry, (placing.executor if placing else None) or DEFAULT)


def start_search(
    path: Path,
    first: tuple[SearchSettings, SearchState],
    registry: Registry,
    display: SearchDisplay,
    placing: Placing | None = None,
    *,
    numbered: bool = False,
) -> Searched:
    """Carry out a search in a new folder; ``numbered`` takes ``path-2`` and so on when ``path`` is taken.

    Raises:
        RunError: the folder is taken or cannot be written, no member is left, or the best cannot be inferred.
        ConfigError: there is no such executor here.
    """
    ready, state = first
    if numbered:
        path = free_folder(path)
    elif (path / JOURNAL).exists() or (path / "run.json").exists():
        raise RunError(f"{path}: a new search needs a folder of its own, but one is there already. Use `lfads search resume`, or another --name.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise RunError(f"{path}: the search's folder must be writable, got: {err.strerror}. Choose another with --runs.") from err
    with only_one(path):
        write_text(path / "config.yaml", dump(ready.base))
        keep_files(path)
        write_state(path, state)
        try:
            return _drive(path, ready.base, state, registry, display, placing)
        except LfadsError:
            if not _has_begun(path):
                shutil.rmtree(path, ignore_errors=True)
            raise


def _has_begun(folder: Path) -> bool:
    """Whether anything was tried in a search, be it in vain."""
    state = read_state(folder)
    return state.generation > 0 or any(m.status != "waiting" or m.failures for m in state.members) or (folder / "fitlog.csv").exists()


def resume_search(folder: Path, registry: Registry, display: SearchDisplay, placing: Placing | None = None, *, retry: bool = False) -> Searched:
    """Go on with a search: the generation that was interrupted, or the inference of the best; a finished one infers its best again.

    ``retry`` first gives members that failed or diverged another try.

    Raises:
        RunError: there is no search, it is damaged, or another process drives it.
    """
    state = read_state(folder)
    base = resolve_saved(folder / "config.yaml", registry)
    with only_one(folder):
        remove_leftovers(folder)
        keep_files(folder)
        state = read_state(folder)
        if retry:
            state = with_another_try(state, compares=registry.get(SearchSpec, state.kind).compares)
        return _drive(folder, base, state, registry, display, placing)


def make_best(folder: Path, registry: Registry, say: Callable[[str], None]) -> Searched:
    """Copy the best member so far out and infer it, whether or not the search has ended.

    Raises:
        RunError: no member has a score, another process drives the search, or the inference fails.
    """
    state = read_state(folder)
    base = resolve_saved(folder / "config.yaml", registry)
    with only_one(folder):
        return _finish(folder, base, read_state(folder), registry, say, ends=state.stopped is not None)


def chances_of(base: RunConfig, registry: Registry) -> Chances:
    """What decides in this search besides outcomes."""

    def faults(values: Mapping[str, object]) -> str:
        return faults_of(base, values, registry)

    return Chances(seed=search_of(base).seed, faults=faults, settings=search_of(base))


def rule_of(kind: str, base: RunConfig, registry: Registry) -> SearchRule:
    """How a search of this kind goes on.

    Raises:
        PluginError: no algorithm has this name.
    """
    return SearchRule(algorithm=BlamedAlgorithm(kind, registry), compares=registry.get(SearchSpec, kind).compares, chances=chances_of(base, registry))


def _drive(folder: Path, base: RunConfig, state: SearchState, registry: Registry, display: SearchDisplay, placing: Placing | None) -> Searched:
    """Generations until they end or somebody interrupts, then the best."""
    placing = placing or Placing()
    state = replace(state, executor=placing.executor or state.executor)
    placing = Placing(executor=state.executor, options=replace(placing.options, score=state.score, folder=folder))
    with ExitStack() as stack:
        executor = None
        if state.stopped is None:  # first of all: it may refuse
            executor = stack.enter_context(_executor(base, state, registry, placing))
        tracking = stack.enter_context(tracked(folder, base, state, registry))
        display.start(state)
        try:
            if executor is not None:
                with stop_wish() as wish:
                    driver = Driver(folder, base, state, executor, rule_of(state.kind, base, registry), display)
                    tracking.hear(driver)
                    try:
                        state = driver.run(wish)
                    except LfadsError as err:
                        with suppress(RunError):  # a full disk may be what it is about
                            write_state(folder, replace(driver.state, status="failed", error=str(err)))
                        raise
                executor.close()  # the best is inferred with all that there is
                if state.stopped is None:
                    tracking.status = "interrupted"
                    return Searched(folder=folder, state=state)
        finally:
            display.stop()
        display.message(f"search ended after {len(state.history)} generations: {WHY_STOPPED[state.stopped or 'epochs']}")
        searched = _finish(folder, base, state, registry, display.message, ends=True)
        tracking.finished(searched.best)
        return searched


@contextmanager
def _executor(base: RunConfig, state: SearchState, registry: Registry, placing: Placing) -> Iterator[AbstractExecutor]:
    executor = BlamedExecutor(make_executor(state.executor, base, state.data, registry, placing.options), state.executor, registry)
    try:
        yield executor
    finally:
        executor.close()


def _finish(folder: Path, base: RunConfig, state: SearchState, registry: Registry, say: Callable[[str], None], *, ends: bool) -> Searched:
    """Copy the best member out and infer it; the journal knows before and after."""
    best = find_best(folder, state)
    state = replace(state, best=best, status="sampling" if ends else state.status)
    write_state(folder, state)
    say(f"member {best.member} is the best")
    run = copy_out(folder, state, base, registry, best)
    sessions: list[Session] = read_for(base, state.data, registry)
    try:
        scores = infer_best(run, sessions, registry, say, tries=1 + search_of(base).retries)
    except RunError as err:
        write_state(folder, replace(state, error=str(err)))
        raise
    state = replace(state, best=replace(best, scores=scores), status="finished" if ends else state.status, error=None)
    write_state(folder, state)
    if base.infer.figures:
        draw_figures(folder, base.infer.figure_format)
    return Searched(folder=folder, state=state, best=run)
