"""A search as an object: many models on the same recordings, and the best of them as a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lfads_core.errors import RunError
from lfads_core.front.brought import as_files, as_names, as_overrides, brought, check_mapping, check_options
from lfads_core.front.recording import Recordings
from lfads_core.front.run import load
from lfads_core.front.trained import TrainedRun
from lfads_core.front.training import RunOptions, Settings, name_of, place_of, with_folder
from lfads_core.front.words import said_in_python
from lfads_core.plugins import Registry, load_registry
from lfads_core.runs import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchResult:
    """A search's folder, whether it has ended or not: ``lf.SearchResult(path="runs/mine-pbt")`` opens one that was made before."""

    path: Path | str
    registry: Registry | None = None

    @property
    def best(self) -> TrainedRun:
        """The best model, as a run like any other.

        Raises:
            RunError: none was copied out yet.
        """
        folder = Path(self.path) / "best"
        if not Run(folder).state_path.is_file():
            raise RunError(f"{folder}: the search must have ended, got none of its models copied out. Go on with search.resume().")
        return load(folder, registry=self.registry)

    @property
    def table(self) -> pd.DataFrame:
        """Members, the best first, with score, epochs, hyperparameters, and whose weights they have."""
        table: pd.DataFrame = brought("search-table", self.registry)(Path(self.path))
        return table

    @property
    def plot(self) -> SearchPlots:
        """Figures such as ``search.plot.curves()``."""
        return SearchPlots(self)

    def resume(self, *, progress: bool = True) -> SearchResult:
        """Go on with a search that was interrupted."""
        registry = self.registry or load_registry()
        brought("search-resume", registry)(Path(self.path), registry, progress=progress)
        return self

    def __repr__(self) -> str:
        """One line."""
        said: str = brought("search-headline", self.registry)(Path(self.path))
        return f"<Search {Path(self.path).resolve().name!r}: {said}>"


@dataclass(frozen=True)
class SearchPlots:
    """Matplotlib figures of a search."""

    search: SearchResult

    def curves(self) -> Figure:
        """What members are compared by over epochs, and the way of the best."""
        return self._draw("curves")

    def scores(self) -> Figure:
        """Scores over the hyperparameters."""
        return self._draw("scores")

    def hyperparameters(self) -> Figure:
        """How hyperparameters moved; a search of one generation has none that did."""
        return self._draw("hyperparameters")

    def lineage(self) -> Figure:
        """Who took whose weights."""
        return self._draw("lineage")

    def _draw(self, kind: str) -> Figure:
        figure: Figure = brought("search-figure", self.search.registry)(Path(self.search.path), kind)
        return figure


class SearchOptions(RunOptions, total=False):
    """How far a search goes and what it compares by; options of ``lfads search`` under the same names."""

    members: int  #: how many models
    epochs: int  #: of each model
    minutes: float  #: most minutes of the search, asked after each generation
    hold_out: float  #: share of channels to predict unseen, and to compare by
    score: str  #: what to compare by
    seed: int  #: of every decision
    generations: int  #: most generations after the burn-in
    burn_in: int  #: epochs before the first comparison
    executor: str  #: how models are trained, serial, batched, ray or one of a plugin
    workers: int  #: that train side by side
    per_worker: int  #: most models trained together in one of them
    address: str  #: a Ray cluster
    storage: str  #: where recordings and models travel through if its machines share no folder
    cpus: float  #: for each worker process of Ray
    gpus: float  #: for each worker process of Ray


@said_in_python
def search(
    recording: Recordings,
    kind: str = "pbt",
    *,
    plugin: str | Sequence[str] = (),
    settings: Settings | None = None,
    space: Mapping[str, str | None] | None = None,
    plugins: Sequence[object] = (),
    **options: Unpack[SearchOptions],
) -> SearchResult:
    """Search hyperparameters: ``lfads search KIND`` in Python.

    ``kind`` is random, grid, pbt or one of a plugin. ``space`` says where to look, setting by setting: as on the command line (``{"optim.lr":
    "log:1e-4:1e-2"}``), or None for nowhere. An interrupted search is returned as it stands.

    Raises:
        ConfigError, DataError, PluginError: settings, spaces or data do not do; nothing was written.
    """
    given = check_options(options, SearchOptions, "lf.search")
    check_mapping("space", space, {"optim.lr": "log:1e-4:1e-2"})
    registry = load_registry().with_plugins(plugins)
    start = brought("search", registry)
    short = {path: given.get(name) for name, path in SETTINGS.items()}
    files, names, overrides = as_files("config", given.get("config", ())), as_names("plugin", plugin), as_overrides(settings, **short)
    placing = {name: given.get(name) for name in PLACING}
    with with_folder(*place_of(given, f"{name_of(recording)}-{kind}"), recording) as (folder, data):
        said = (files, names, overrides, space or {})
        start(kind, data, folder, registry, settings=said, placing=placing, progress=given.get("progress", True))
    return SearchResult(path=folder, registry=registry)


SETTINGS = {
    "members": "search.members",
    "epochs": "train.epochs",
    "minutes": "search.minutes",
    "hold_out": "data.hold_out.fraction",
    "score": "search.score",
    "seed": "search.seed",
    "generations": "search.generations",
    "burn_in": "search.burn_in",
}
"""Settings that options are short for."""

PLACING = ("executor", "workers", "per_worker", "address", "storage", "cpus", "gpus")
"""Options that say where and how models are trained; the search itself does not depend on them."""
