"""``lfads cite``: BibTeX of what a model is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.options import PATH

if TYPE_CHECKING:
    from lfads_core.config.chosen import Component
    from lfads_core.config.schema import RunConfig
    from lfads_core.plugins import Registry
    from lfads_core.plugins.citations import Cited


@click.command("cite")
@click.argument("run", type=PATH, required=False)
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A recipe, or any component; may be repeated.")
def command(*, run: Path | None, plugins: tuple[str, ...]) -> None:
    """Print BibTeX for LFADS and the components that are used: by RUN, by --plugin, or by default.

    \b
      lfads cite > references.bib
      lfads cite --plugin zig
      lfads cite runs/day1
    """
    from lfads_core.plugins import load_registry
    from lfads_core.plugins.citations import LFADS, Cited, bibtex

    registry = load_registry()
    cited = [Cited(key, "LFADS") for key in LFADS]
    for name in plugins:
        cited += _named(name, registry)
    if run is not None or not plugins or any(_changes_models(name, registry) for name in plugins):
        cited += _used(_settings(run, plugins, registry), registry)
    click.echo(bibtex(cited, registry.bibliography))


def _named(name: str, registry: Registry) -> Iterator[Cited]:
    """Yield what everything of a name cites, whatever its kind."""
    from lfads_core.plugins.citations import Cited

    for spec in registry.find(name, any_kind=True):
        yield from (Cited(cite, f"{spec.kind} {name}") for cite in getattr(spec, "cites", ()))


def _changes_models(name: str, registry: Registry) -> bool:
    return any(entry.spec.name == name and entry.kind == "recipe" for entry in registry.entries)


def _settings(run: Path | None, plugins: tuple[str, ...], registry: Registry) -> RunConfig:
    from lfads_core.config.load import resolve
    from lfads_core.runs import Run

    recipes = [name for name in plugins if _changes_models(name, registry)]
    return resolve([] if run is None else [Run.open(run).config_path], recipes, [], registry)


def _used(config: RunConfig, registry: Registry) -> Iterator[Cited]:
    """Yield what the components of a model cite."""
    import attrs

    from lfads_core.plugins.citations import Cited

    for field in attrs.fields(type(config.components)):
        record = field.metadata.get("component")
        value = getattr(config.components, field.name)
        chosen: tuple[Component, ...] = value if isinstance(value, tuple) else (value,)
        for part in chosen if record else ():
            if part is not None:
                yield from (Cited(cite, f"{record.kind} {part.name}") for cite in registry.get(record, part.name).cites)
