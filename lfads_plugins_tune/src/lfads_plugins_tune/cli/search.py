"""``lfads search``: hyperparameters at random, on a grid, or by population-based training."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lfads_core.cli.lazy import installed
from lfads_core.cli.options import PATH, SEED, Number, settings_options
from lfads_core.cli.run import recordings_and_settings
from lfads_core.runs import checked_name, default_name
from lfads_plugins_tune.executors import DEFAULT
from lfads_plugins_tune.specs import SearchSpec


def _options(*, draws: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What all ways of searching have in common; those that draw are told how many models, and from which seed."""
    sizes = [click.option("--members", type=click.IntRange(min=1), help="How many models  [default: search.members, 20]")] if draws else []
    seed = [click.option("--seed", type=SEED, help="Seed of every decision  [default: 0]")] if draws else []
    stack: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.argument("sources", nargs=-1, metavar="DATA... [CONFIG.yaml]"),
        settings_options,
        click.option("--space", "spaces", multiple=True, metavar="PATH=SPACE", help="Where to look for one setting; may be repeated. null: nowhere."),
        *sizes,
        click.option("--epochs", type=click.IntRange(min=1), help="Epochs of each model  [default: train.epochs]"),
        click.option("--minutes", type=Number(0, min_open=True), help="Most minutes of the search, asked after each generation."),
        click.option("--hold-out", type=Number(0, 1, max_open=True), metavar="SHARE", help="Share of channels to predict unseen, and to compare by."),
        click.option("--score", metavar="NAME", help="What to compare by: auto, heldout, masked, recon, valid/co_bps ...  [default: auto]"),
        *seed,
        placing_options,
        click.option("--name", help="Name of the search's folder  [default: from the data, with the kind]"),
        click.option("--runs", "folder", type=PATH, default=Path("runs"), show_default=True, help="Folder of all runs and searches."),
        click.option("--dry-run", is_flag=True, help="Check everything, print what would be searched and the first members, and stop."),
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(stack):
            function = option(function)
        return function

    return decorate


def placing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where models are trained."""
    for option in (
        click.option("--gpus", type=Number(0), help="GPUs for each worker process of ray; may be a fraction."),
        click.option("--cpus", type=Number(0, min_open=True), help="CPUs for each worker process of ray."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Worker processes of ray, or CPU threads of batched that train side by side  [default: as many as there is room for]",
        ),
        click.option("--per-worker", type=click.IntRange(min=1), help="Most members trained together, as one batch, in one process."),
        click.option(
            "--storage", metavar="URL", help="Where recordings and models travel through if the machines of --address share no folder: s3://..."
        ),
        click.option("--address", help="Ray cluster to use, such as auto  [default: one on this machine]"),
        click.option("--executor", metavar="NAME", help=f"How models are trained: serial, batched, ray or one of a plugin  [default: {DEFAULT}]"),
    ):
        function = option(function)
    return function


class SearchGroup(click.Group):
    """Commands on searches, and one for each algorithm of ``lfads_searches``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Algorithms first."""
        return [*(way.name for way in _ways(ctx)), *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command of the group, or one made for an algorithm."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        way = next((way for way in _ways(ctx) if way.name == cmd_name), None)
        return None if way is None else _command_for(way)


def _ways(ctx: click.Context) -> list[SearchSpec]:
    return [way for way, _ in installed(ctx).as_offered(SearchSpec)]


def _command_for(way: SearchSpec) -> click.Command:
    """``lfads search NAME``."""

    def start(**given: Any) -> None:
        _search(way.name, given)

    start.__doc__ = inspect.cleandoc(way.help or way.summary)
    function = _options(draws=not way.lists)(start)
    if way.compares:
        for option in (
            click.option("--burn-in", type=click.IntRange(min=0), help="Epochs before the first comparison  [default: until the ramps have ended]"),
            click.option("--generations", type=click.IntRange(min=1), help="Most generations after the burn-in  [default: as --epochs allow]"),
        ):
            function = option(function)
    return click.command(way.name, short_help=way.summary)(function)


@click.group(cls=SearchGroup)
def command() -> None:
    """Search hyperparameters: many models on the same data, and the best one copied out."""


@command.command(short_help="Print how a search stands.")
@click.argument("search", type=PATH)
def status(search: Path) -> None:
    """Print how a search stands, while it runs and afterwards: members, scores, hyperparameters, whose weights they have."""
    from lfads_plugins_tune.cli.search_output import print_status

    print_status(search)


@command.command(short_help="Go on with a search that was interrupted or killed.")
@click.argument("search", type=PATH)
@placing_options
def resume(search: Path, **given: Any) -> None:
    """Go on with a search that was interrupted or killed; a finished one has its best model inferred again."""
    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.cli.search_output import make_search_display, show_searched
    from lfads_plugins_tune.search.placing import placing_of
    from lfads_plugins_tune.search.run import resume_search

    registry = registry_of(search)
    display = make_search_display()
    show_searched(resume_search(search, registry, display, placing_of(given, registry)), display)


@command.command(short_help="Give what failed another try.")
@click.argument("search", type=PATH)
@placing_options
def retry(search: Path, **given: Any) -> None:
    """Give members that failed or diverged another try, and the best another inference."""
    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.cli.search_output import make_search_display, show_searched
    from lfads_plugins_tune.search.placing import placing_of
    from lfads_plugins_tune.search.run import resume_search

    registry = registry_of(search)
    display = make_search_display()
    show_searched(resume_search(search, registry, display, placing_of(given, registry), retry=True), display)


@command.command(short_help="Copy the best model so far out and infer it.")
@click.argument("search", type=PATH)
def best(search: Path) -> None:
    """Copy the best model so far out and infer it, also before the search has ended (but not while it runs)."""
    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.cli.search_output import make_search_display, show_searched
    from lfads_plugins_tune.search.run import make_best

    registry = registry_of(search)
    display = make_search_display()
    show_searched(make_best(search, registry, display.message), display)


def _search(kind: str, given: dict[str, Any]) -> None:
    """Start one search."""
    data, files = recordings_and_settings(given["sources"], f"Try `lfads search {kind} data.h5`.")
    path = given["folder"] / (f"{default_name(data)}-{kind}" if given["name"] is None else checked_name(given["name"]))
    from lfads_core.front.brought import as_overrides
    from lfads_core.front.search import SETTINGS
    from lfads_core.plugins import load_registry
    from lfads_plugins_tune.cli.search_output import make_search_display, print_plan, show_searched
    from lfads_plugins_tune.search.parse import parse_spaces
    from lfads_plugins_tune.search.placing import placing_of
    from lfads_plugins_tune.search.run import planned_search, start_search

    registry = load_registry()
    short = as_overrides(None, **{path: given.get(name) for name, path in SETTINGS.items()})
    said = (files, given["plugins"], [*given["overrides"], *short], parse_spaces(given["spaces"]))
    placing = placing_of(given, registry)
    display = make_search_display()
    first = planned_search(kind, data, said, registry, placing)
    if given["dry_run"]:
        print_plan(*first)
        return
    show_searched(start_search(path, first, registry, display, placing, numbered=given["name"] is None), display)
