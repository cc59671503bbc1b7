"""What a ``collection.yaml`` says: which recordings, which settings, what varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from attrs import frozen

from lfads_core.config.faults import Origin, Path, SettingsFault, origin_of, refuse
from lfads_core.config.fields import at_least, setting
from lfads_core.config.structure import structure_as
from lfads_core.config.yaml_io import Layer, dump_plain, read_yaml
from lfads_core.errors import PluginError
from lfads_core.plugins.registry import Registry
from lfads_plugins_tune.specs import ExecutorSpec, SearchSpec

FILE_NAME = "collection.yaml"


@frozen(kw_only=True)
class DataSpec:
    """Recordings. Paths and patterns are relative to the collection's folder."""

    each: tuple[str, ...] = setting((), "files, folders and patterns; each recording is a dataset of its own, named after its file")
    together: dict[str, tuple[str, ...]] = setting(dict, "datasets by name, each of several recordings that one model is for")
    min_trials: int | None = setting(None, "leave out recordings with fewer training trials", rule=at_least(1), unit="trials")


@frozen(kw_only=True)
class VariantSpec:
    """One way of setting things, on top of what is said for all."""

    plugins: tuple[str, ...] = setting((), "recipes and components to use")
    settings: dict[str, Any] = setting(dict, "settings, as in a settings file")
    vary: dict[str, tuple[Any, ...]] = setting(dict, "values to try by the path of a setting; every combination is a run")
    search: str | None = setting(None, "search hyperparameters in this way, as settings.search says (null: as said for all)")
    executor: str | None = setting(None, "how a search trains its models (null: as said for all)")
    datasets: tuple[str, ...] | None = setting(None, "names of the datasets this is for (null: all)")


@frozen(kw_only=True)
class CollectionSpec:
    """The whole file."""

    data: DataSpec = setting(DataSpec, "recordings")
    plugins: tuple[str, ...] = setting((), "recipes and components to use, as `--plugin` does")
    settings: dict[str, Any] = setting(dict, "settings of all runs, as in a settings file")
    vary: dict[str, tuple[Any, ...]] = setting(dict, "values to try by the path of a setting; every combination is a run")
    search: str | None = setting(None, "search hyperparameters in this way, as settings.search says (null: single runs)")
    executor: str | None = setting(None, "how a search trains its models (null: as `lfads search` chooses)")
    variants: dict[str, VariantSpec] = setting(dict, "further ways of setting things, by name (none: only the above)")


@frozen(kw_only=True)
class Described:
    """A collection's file as it was read, and where its lines are."""

    path: FilePath
    spec: CollectionSpec
    origins: Mapping[Path, Origin]

    def layer(self, *way: str) -> Layer:
        """The settings under ``way`` with the lines they stand in: ``("settings",)`` or ``("variants", NAME, "settings")``."""
        found: Any = self.spec.settings if len(way) == 1 else self.spec.variants[way[1]].settings
        return Layer(found, {path[len(way) :]: origin for path, origin in self.origins.items() if path[: len(way)] == way and len(path) > len(way)})


def read_spec(path: FilePath, registry: Registry) -> Described:
    """Read a collection's file.

    Raises:
        ConfigError: one line for each fault, with the file and the line.
    """
    layer = read_yaml(path)
    spec = structure_as(CollectionSpec, layer.data, registry, origins=layer.origins)
    refuse(list(_unknown(spec, layer.origins, registry)))
    return Described(path=path, spec=spec, origins=layer.origins)


def _unknown(spec: CollectionSpec, origins: Mapping[Path, Origin], registry: Registry) -> Iterator[SettingsFault]:
    """Searches and executors that nobody offers."""
    parts: list[tuple[Path, CollectionSpec | VariantSpec]] = [((), spec), *((("variants", name), part) for name, part in spec.variants.items())]
    for way, part in parts:
        for key, record, name in (("search", SearchSpec, part.search), ("executor", ExecutorSpec, part.executor)):
            try:
                if name is not None:
                    registry.get(record, name)
            except PluginError as err:
                yield SettingsFault((*way, key), str(err), origin_of((*way, key), origins))


def written(data: Mapping[str, Any]) -> str:
    """The text of a new ``collection.yaml``."""
    return f"# A collection of runs; `lfads collection prepare` after every change.\n\n{dump_plain(data)}"
