"""``lfads plugins``: what is installed, from whom, what is broken, how one uses a component, and how one makes one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.lazy import installed
from lfads_core.cli.options import PATH
from lfads_core.errors import PluginError
from lfads_core.scaffold.make import KINDS as KINDS_WITH_TEMPLATE
from lfads_core.screen import open_console, plain_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lfads_core.config.own_types import Types
    from lfads_core.plugins.loading import Provider
    from lfads_core.plugins.registry import Registered, Registry
    from lfads_core.testing import LawFinding


@click.group()
def command() -> None:
    """List what is installed, show what one name means, make and check plugins.

    The environment variable LFADS_PLUGINS limits what is loaded: entry-point names joined by commas, as in
    LFADS_PLUGINS=std,calcium; empty loads none. Use it to find out which plugin is to blame.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with every field, for scripts.")
def list_plugins(*, as_json: bool) -> None:
    """List every component by kind, its provider, and every plugin that could not be loaded."""
    registry = installed()
    if as_json:
        from lfads_core.config.describe import describe_registry

        click.echo(json.dumps(describe_registry(registry), indent=2, default=str))
        return
    console = open_console()
    console.print(_components(registry))
    if registry.bare:
        console.print("No component is installed beside core's own. The standard ones: pip install lfads-plugins-std", highlight=False)
    for line in _remarks(registry):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@command.command("show")
@click.argument("name")
def show_plugin(name: str) -> None:
    """Show everything called NAME: what it is, its settings, and what to write in a config file."""
    from lfads_core.config.groups import types_of

    registry = installed()
    found = [entry for entry in registry.entries if entry.spec.name == name]
    if not found:
        registry.find(name, any_kind=True)  # raises, saying what comes near
    console = open_console()
    for number, entry in enumerate(found):
        if number:
            console.print()
        _show(console, entry, types_of(registry))


@command.command("check")
@click.argument("name")
@click.option("--file", "path", type=PATH, help="A recording for a reader to read; without one only half its laws can be tried.")
def check_plugin(name: str, path: Path | None) -> None:
    """Try every law that components called NAME, or those of the distribution NAME, must obey.

    \b
      lfads plugins check laplace
      lfads plugins check lfads-plugins-std
    """
    from lfads_core.testing import Given, try_laws
    from lfads_core.testing.imports import try_import

    registry = installed()
    entries, providers = _of_name(name, registry)
    broken = laws = 0
    for provider in providers:
        click.echo(f"plugin {provider}")
        found = try_import(provider)
        broken, laws = broken + _tell(found), laws + len(found)
    for entry in entries:
        click.echo(f"{entry.kind} {entry.spec.name}")
        found = try_laws(entry.spec, Given(path=path, registry=registry))
        broken, laws = broken + _tell(found), laws + len(found)
    if broken:
        raise PluginError(f"{name}: must obey all {laws} laws, but {broken} are broken or could not be tried. Mend what is marked 'fault'.")
    click.echo(f"all {laws} laws hold")


@command.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS_WITH_TEMPLATE), required=True, help="What the plugin offers.")
@click.option("-o", "--output", type=PATH, default=Path(), show_default="this folder", help="Folder that the new repository goes to.")
def new_plugin(name: str, kind: str, output: Path) -> None:
    """Make a repository for a plugin that offers a component NAME; it installs, and passes its tests, as it is.

    \b
      lfads plugins new laplace --kind prior
    """
    from lfads_core.scaffold.make import make_plugin

    root = make_plugin(name, kind, output)
    click.echo(f"wrote {root}")
    click.echo(f'next: pip install -e "{root}[test]" && lfads plugins check {root.name} && pytest {root}')


def _of_name(name: str, registry: Registry) -> tuple[list[Registered], list[Provider]]:
    """Every component of this name, or of the distribution of this name, which may only listen; and who is imported for it.

    Raises:
        PluginError: there is none, or the distribution is broken.
    """
    wanted = name.lower().replace("_", "-")
    for fault in registry.faults:
        if fault.provider.distribution.lower().replace("_", "-") == wanted:
            raise PluginError(str(fault))
    found = [entry for entry in registry.entries if entry.spec.name == name]
    providers = [entry.provider for entry in found]
    if not found:
        providers = [plugin.provider for plugin in registry.plugins if plugin.provider.distribution.lower().replace("_", "-") == wanted]
        found = [entry for entry in registry.entries if entry.provider in providers]
    if not providers:
        registry.find(name, any_kind=True)  # raises, saying what comes near
    return found, [provider for provider in dict.fromkeys(providers) if provider.entry_point]  # a file is loaded by who asks for it alone


def _tell(findings: Sequence[LawFinding]) -> int:
    """Print one line per law, and below it what speaks against it; return how many do not hold."""
    for finding in findings:
        verdict = "ok" if finding.ok else "fault" if finding.faults else "untried"
        click.echo(f"  {verdict:<8}{finding.law}")
        for fault in finding.faults:
            click.echo(f"            {fault}")
    return sum(not finding.ok for finding in findings)


def _components(registry: Registry) -> Table:
    from rich.text import Text

    table = plain_table(names := ("kind", "name", "summary", "from"), left=names)
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
    yield from (f"{provider}: {remark}" for provider, remark in registry.remarks)


def _show(console: Console, entry: Registered, own: Types) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from lfads_core.config.describe import describe_settings, usage

    def say(text: str, indent: int = 2) -> None:
        console.print(Padding(Text(text), (0, 0, 0, indent), expand=False))

    say(f"{entry.kind} {entry.spec.name}", 0)
    say(entry.spec.summary)
    say(f"from {entry.provider}")
    if cites := getattr(entry.spec, "cites", ()):
        from lfads_core.plugins.citations import citation_key

        say(f"cites {', '.join(map(citation_key, cites))}")
    rows = list(describe_settings(config, own)) if (config := getattr(entry.spec, "config", None)) else []
    if rows:
        table = plain_table(names := ("setting", "default", "must be", "unit", "meaning", "tuned"), left=names)
        for row in rows:
            default = row.default if isinstance(row.default, str) else json.dumps(row.default, default=str)  # null, true: as in YAML
            table.add_row(*map(Text, (row.path, default, row.rule, row.unit, row.meaning, row.tune)))
        console.print(Padding(table, (1, 0, 1, 2), expand=False))
    say("use:")
    for line in usage(entry.spec, own).splitlines():  # never wrapped, so that it can be pasted
        console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
