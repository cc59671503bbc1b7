"""``lfads config``: show, explain, check and import settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.lazy import LazyGroup, installed
from lfads_core.errors import ConfigError
from lfads_core.screen import open_console, plain_table

if TYPE_CHECKING:
    from lfads_core.config.explain import Explanation


@click.group(cls=LazyGroup, prefix="config")
def command() -> None:
    """Show, explain, check and import settings."""


@command.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="Recipe or component to start from; may be repeated.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, such as optim.lr=1e-3; may be repeated.")
def show(files: tuple[Path, ...], plugins: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Print the settings a run would have, all of them, as YAML."""
    from lfads_core.config.load import resolve
    from lfads_core.config.yaml_io import dump

    click.echo(dump(resolve(files, plugins, overrides, installed())), nl=False)


@command.command()
@click.argument("key", required=False)
def explain(key: str | None) -> None:
    """Say what a setting means, what it may be, and its default.

    KEY is a setting (optim.lr, or just lr), a group (model.controller), a plugin (zig) or a setting of a
    component (autoregressive.tau). Without KEY everything is listed.
    """
    from lfads_core.config.explain import explain as entries_of

    entries = entries_of(key, installed())
    if len(entries) == 1:
        click.echo(_block(entries[0]))
    else:
        _print_table(entries)


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def check(files: tuple[Path, ...]) -> None:
    """Check settings files, each on its own, and list everything that is wrong."""
    from lfads_core.config.load import resolve

    registry = installed()
    wrong = []
    for path in files:
        try:
            resolve([path], [], [], registry)
            click.echo(f"{path}: ok")
        except ConfigError as err:
            wrong.append(str(err))
    if wrong:
        raise ConfigError("\n".join(wrong))


def _block(entry: Explanation) -> str:
    facts = {"type": entry.type, "default": entry.default, "rule": entry.rule, "unit": entry.unit, "tuned": entry.tuning}
    lines = [entry.key, *([f"  {entry.meaning}"] if entry.meaning else [])]
    return "\n".join(lines + [f"  {name:<8} {text}" for name, text in facts.items() if text])


def _print_table(entries: list[Explanation]) -> None:
    from rich.text import Text

    headings = ("setting", "default", "must be", "unit", "tuned", "meaning")
    table = plain_table(headings, left=headings)
    for e in entries:
        cells = (e.key, e.default, e.must_be, e.unit, e.tuning, e.meaning)
        table.add_row(*(Text(cell) for cell in cells), style="bold" if e.is_group else None)
    open_console().print(table)
