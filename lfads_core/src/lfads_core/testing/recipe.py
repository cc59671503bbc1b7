"""Laws of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lfads_core.config.merge import PlaceShape, merge, plain
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import structure, unstructure
from lfads_core.config.yaml_io import dump, parse_yaml
from lfads_core.errors import LfadsError
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import RecipeSpec
from lfads_core.testing.findings import Law


@dataclass(frozen=True)
class RecipeCase:
    """A recipe, and the components it may name."""

    spec: RecipeSpec
    registry: Registry

    def config(self) -> RunConfig:
        """The defaults with the recipe laid over them."""
        return structure(merge(unstructure(RunConfig()), plain(self.spec.settings), PlaceShape(RunConfig)), self.registry)


def _resolves(case: RecipeCase) -> Iterator[str]:
    try:
        case.config()
    except LfadsError as err:
        yield from str(err).splitlines()


def _round_trip(case: RecipeCase) -> Iterator[str]:
    config = case.config()
    back = structure(parse_yaml(dump(config), "settings").data, case.registry)
    if back != config:
        yield "the resolved settings must come back from YAML as they were"


def _changes(case: RecipeCase) -> Iterator[str]:
    if not case.spec.settings:
        yield "settings must not be empty: a recipe without any stands for the defaults"
    for key, value in case.spec.settings.items():
        if not isinstance(value, Mapping):
            yield f"settings must be groups such as {{'components': {{...}}}}, got {key!r} with {value!r}"


LAWS: tuple[Law[RecipeCase], ...] = (
    Law("settings are groups, as in a config file", _changes, essential=True),
    Law("every setting and component it names is there, and obeys its rule", _resolves, essential=True),
    Law("the resolved settings go round a config file", _round_trip),
)


def recipe_case(spec: Any, registry: Registry | None) -> RecipeCase:
    """The case of a recipe; without a registry, components are those that are installed."""
    return RecipeCase(spec, Registry.from_installed() if registry is None else registry)
