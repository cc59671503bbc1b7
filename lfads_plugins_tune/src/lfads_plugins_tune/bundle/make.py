"""From a recording, or a zip of several, and settings to one zip: unpack, train or search, pack."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.config.yaml_io import Layer
from lfads_core.errors import ConfigError, LfadsError, RunError
from lfads_core.infer.loading import load
from lfads_core.locks import only_one
from lfads_core.pipeline.run import resume_run, start_run
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import ExporterSpec
from lfads_core.runs import Run
from lfads_core.train.progress import Display
from lfads_plugins_tune.bundle.outside import refuse_outside
from lfads_plugins_tune.bundle.pack import Packed, pack
from lfads_plugins_tune.bundle.unzip import unpack
from lfads_plugins_tune.bundle.work import NO_SEARCH, Work, purpose_of
from lfads_plugins_tune.collection.relink import data_are_at
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.run import Placing, first_state, resume_search, start_search
from lfads_plugins_tune.search.settings import defaults_of

log = logging.getLogger(__name__)

PAGE = "page"
"""Name of the exporter that makes a run's page."""

_UNTRACKED = Layer({"track": {"mlflow": False}}, {})
"""A folder that goes away needs no MLflow; settings that ask for it have it."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be bundled, and how."""

    source: Path
    config: RunConfig
    kind: str
    output: Path
    max_size: int  # bytes of unpacked recordings
    placing: Placing | None = None  # of a search


def settings_for(kind: str, files: Sequence[Path], plugins: Sequence[str], overrides: Sequence[str], registry: Registry) -> RunConfig:
    """The settings of a bundle: as for a run, or for this kind of search.

    Raises:
        ConfigError: one line for each fault.
    """
    defaults = defaults_of(kind, registry) if kind != NO_SEARCH else None
    return resolve([_UNTRACKED, *files], plugins, overrides, registry, defaults=defaults)


def check_order(order: Order, *, force: bool) -> None:
    """Refuse what cannot end well before anything begins.

    Raises:
        ConfigError, RunError: the output is no place for a zip, or is taken and not to be replaced.
    """
    if order.output.suffix.lower() != ".zip":
        raise ConfigError(f"-o: must be the name of a zip, such as autolfads.zip, got {str(order.output)!r}")
    if order.output.resolve() == order.source.resolve():
        raise ConfigError(f"-o: must not be the recordings themselves, got {str(order.output)!r}")
    if not order.output.parent.is_dir():
        raise RunError(f"{order.output}: must be in a folder that is there, got {str(order.output.parent)!r}. Make the folder.")
    if order.output.exists() and not force:
        raise RunError(f"{order.output}: must be a new file, but is there already. Move it away, or replace it with --force.")
    if not order.source.is_file():
        raise RunError(
            f"{order.source}: must be a recording or a zip of recordings, found {'a folder' if order.source.is_dir() else 'nothing there'}."
        )


def make_bundle(order: Order, work: Work, registry: Registry, displays: tuple[Display, SearchDisplay], *, resume: bool) -> Packed | None:
    """Carry an order out in a work folder; None if it was interrupted, and everything is saved there.

    Raises:
        DataError, ConfigError, RunError, NumericsError: what is wrong with recordings, settings or the work folder, or with training.
    """
    display, search_display = displays
    work.open(purpose_of(order.source, order.config, order.kind), resume=resume)
    with only_one(work.path):
        sources = _recordings(order, work, display.message)
        if work.has_begun:
            data_are_at(work.model, sources)
        best = _search(order, work, sources, registry, search_display) if order.kind != NO_SEARCH else _train(order, work, sources, registry, display)
        if best is None:
            return None
        _report(best, registry, display.message)
        return pack(order.output, best, None if order.kind == NO_SEARCH else work.model, order.source.name)


def _report(best: Run, registry: Registry, say: Callable[[str], None]) -> None:
    """Score the model and make its page, if lfads-plugins-lab is there to do it; a fault costs the zip no more than these."""
    page = next((spec for spec in registry.all(ExporterSpec) if spec.name == PAGE), None)
    if page is None:
        say("no report in the bundle: lfads-plugins-lab, which makes it, is not installed")
        return
    try:
        list(page.write(load(best.path, registry=registry), None))
    except LfadsError as err:
        log.warning("the bundle has no report: %s", err)


def _recordings(order: Order, work: Work, say: Callable[[str], None]) -> list[Path]:
    if order.source.suffix.lower() != ".zip":
        refuse_outside(order.source)
        return [order.source]
    found = unpack(order.source, work.data, order.max_size)
    for path in found.recordings:
        refuse_outside(path)
    say(f"{order.source}: {', '.join(path.name for path in found.recordings)}")
    if found.passed_over:
        log.warning("%s: no recordings, and passed over: %s", order.source, ", ".join(found.passed_over))
    return list(found.recordings)


def _train(order: Order, work: Work, sources: Sequence[Path], registry: Registry, display: Display) -> Run | None:
    finished = resume_run(work.model, (), registry, display) if work.has_begun else start_run(work.model, sources, order.config, registry, display)
    return None if finished.outcome == "interrupted" else finished.run


def _search(order: Order, work: Work, sources: Sequence[Path], registry: Registry, display: SearchDisplay) -> Run | None:
    if work.has_begun:
        return resume_search(work.model, registry, display, order.placing).best
    if order.kind == NO_SEARCH:
        raise ValueError("a search must be of a kind")
    from lfads_plugins_tune.executors import DEFAULT

    first = first_state(order.kind, order.config, sources, registry, (order.placing.executor if order.placing else None) or DEFAULT)
    return start_search(work.model, first, registry, display, order.placing).best
