"""Searches over toys."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import attrs
import pytest

from lfads_core.config.load import resolve
from lfads_core.config.schema import RunConfig
from lfads_core.config.spaces import SpaceConfig
from lfads_core.plugins import load_registry
from lfads_plugins_tune.search.driver import Driver
from lfads_plugins_tune.search.plan import Chances, SearchRule
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.spaces_of import search_of
from lfads_plugins_tune.search.state import SearchState, read_state, write_state
from lfads_plugins_tune.specs import SearchSpec
from toy_search import SPACES, Toy


@pytest.fixture(scope="session")
def settings() -> Callable[..., RunConfig]:
    """``settings("search.members=4")``: the defaults of a search with these overrides."""
    registry = load_registry()

    @functools.cache
    def make(*overrides: str, plugins: tuple[str, ...] = ()) -> RunConfig:
        return resolve([], plugins, overrides, registry, defaults={"search": {"min_improvement": None}})

    return make


@pytest.fixture
def toy_search(tmp_path: Path, settings: Callable[..., RunConfig]) -> Callable[..., Driver]:
    """``toy_search("a", Toy(), members=6)``: a driver at the beginning of a search in a folder of that name, or where it was."""

    def make(
        name: str,
        executor: Toy,
        *overrides: str,
        kind: str = "pbt",
        members: int = 6,
        targets: tuple[int, ...] = (2, 4, 6, 8),
        burn_in: int = 2,
        seed: int = 0,
        spaces: Mapping[str, SpaceConfig] = SPACES,
        faults: Callable[[Mapping[str, Any]], str] = lambda _: "",
    ) -> Driver:
        folder, base = tmp_path / name, settings(*overrides)
        chances = Chances(seed=seed, faults=faults, settings=attrs.evolve(search_of(base), members=members))
        way = load_registry().get(SearchSpec, kind)
        if not (folder / "search.json").exists():
            folder.mkdir(exist_ok=True)
            state = SearchState(
                kind=kind,
                executor="toy",
                data=("data.h5",),
                spaces=spaces,
                score="valid/masked_smooth",
                targets=targets,
                burn_in=burn_in,
                generation=0,
                members=tuple(way.build().first(spaces, members, chances)),
            )
            write_state(folder, state)
        rule = SearchRule(algorithm=way.build(), compares=way.compares, chances=chances)
        return Driver(folder, base, read_state(folder), executor, rule, SearchDisplay(io.StringIO()))

    return make


@pytest.fixture
def ending() -> Callable[[Driver], dict[str, Any]]:
    """Everything about a search that must not depend on how it came about."""

    def read(driver: Driver) -> dict[str, Any]:
        state = read_state(driver.folder)
        rows = sorted((driver.folder / "fitlog.csv").read_text().splitlines())
        weights = {path.parts[-3]: json.loads(path.read_text()) for path in sorted(driver.folder.glob("members/*/checkpoints/last.json"))}
        return {"state": replace(state, seconds=0.0, status="running"), "rows": rows, "weights": weights}

    return read
