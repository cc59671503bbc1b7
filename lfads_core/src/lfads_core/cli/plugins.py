"""``lfads plugins``: what is installed, from whom, what is broken, and how one uses a component."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lfads_core.plugins.registry import Entry, Registry

_WIDTH_OF_A_PIPE = 160


@click.group()
def command() -> None:
    """List what is installed, and show what one name means.

    The environment variable LFADS_PLUGINS limits what is loaded: entry-point names joined by commas, as in
    LFADS_PLUGINS=std,calcium; empty loads none. Use it to find out which plugin is to blame.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with every field, for scripts.")
def list_plugins(*, as_json: bool) -> None:
    """List every component by kind, its provider, and every plugin that could not be loaded."""
    from lfads_core.plugins.registry import Registry

    registry = Registry.from_installed()
    if as_json:
        from lfads_core.plugins.describe import describe_registry

        click.echo(json.dumps(describe_registry(registry), indent=2, default=str))
        return
    console = _console()
    if registry.entries:
        console.print(_components(registry))
    else:
        console.print("No component is installed. The standard ones: pip install lfads-plugins-std", highlight=False)
    for line in _remarks(registry):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@command.command("show")
@click.argument("name")
def show_plugin(name: str) -> None:
    """Show everything called NAME: what it is, its settings, and what to write in a config file."""
    from lfads_core.plugins.kinds import KINDS
    from lfads_core.plugins.registry import Registry

    registry = Registry.from_installed()
    found = [entry for entry in registry.entries if entry.spec.name == name]
    if not found:
        registry.find(name, tuple(KINDS))  # raises, saying what comes near
    console = _console()
    for number, entry in enumerate(found):
        if number:
            console.print()
        _show(console, entry)


def _console() -> Console:
    """Make a console as wide as the terminal; in a pipe wide enough that lines stay whole."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_OF_A_PIPE)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _components(registry: Registry) -> Table:
    from rich.text import Text

    table = _table("kind", "name", "summary", "from")
    for entry in registry.entries:
        provider = f"{entry.provider.distribution} {entry.provider.version}"
        table.add_row(entry.kind, Text(entry.spec.name, style="cyan"), Text(entry.spec.summary), Text(provider))
    return table


def _remarks(registry: Registry) -> Iterator[str]:
    """Yield what the table cannot hold: plugins without components, those left out, and what is wrong."""
    for plugin in registry.plugins:
        if plugin.listeners:
            yield f"listens to {', '.join(sorted(plugin.listeners))}: {plugin.provider}"
        elif not any(plugin.specs.values()):
            yield f"offers nothing: {plugin.provider}"
    yield from (f"left out by LFADS_PLUGINS: {provider}" for provider in registry.left_out)
    yield from (f"clash: {clash}" for clash in registry.clashes)
    yield from (f"broken, left out: {fault}" for fault in registry.faults)


def _show(console: Console, entry: Entry) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from lfads_core.plugins.describe import describe_settings, usage

    def say(text: str, indent: int = 2) -> None:
        console.print(Padding(Text(text), (0, 0, 0, indent), expand=False))

    say(f"{entry.kind} {entry.spec.name}", 0)
    say(entry.spec.summary)
    say(f"from {entry.provider}")
    if cites := getattr(entry.spec, "cites", ()):
        say(f"cites {', '.join(cites)}")
    rows = list(describe_settings(config)) if (config := getattr(entry.spec, "config", None)) else []
    if rows:
        table = _table("setting", "default", "must be", "unit", "meaning", "tuned")
        for row in rows:
            default = row.default if isinstance(row.default, str) else json.dumps(row.default, default=str)  # null, true: as in YAML
            table.add_row(*map(Text, (row.path, default, row.rule, row.unit, row.meaning, row.tune)))
        console.print(Padding(table, (1, 0, 1, 2), expand=False))
    say("use:")
    for line in usage(entry.kind, entry.spec).splitlines():  # never wrapped, so that it can be pasted
        console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
