"""``lfads compare``: runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lfads_core.cli.options import PATH
from lfads_core.errors import ConfigError
from lfads_core.screen import open_console, plain_table
from lfads_core.wording import printable

_DIGITS = {"seconds": ".0f", "best_cost": ".5g"}
_MANY = 8
"""Signs from which on a number among the settings is rounded: one that a search has drawn has sixteen."""


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("-o", "--output", type=PATH, help="Write CSV to a file.")
def command(runs: tuple[Path, ...], output: Path | None, *, as_json: bool, as_csv: bool) -> None:
    """Show RUNs side by side: settings that differ, scores, epochs, training time.

    RUN is a run's folder, a search's (its best model is meant), or a folder of runs and searches. Runs that `lfads eval` has scored show that too.

    \b
      lfads compare runs/a runs/b
      lfads compare runs --csv
    """
    import json

    from lfads_core.cli.tables import as_csv as csv_of
    from lfads_core.cli.tables import write_csv
    from lfads_core.plugins import load_registry
    from lfads_plugins_lab.evaluate.compare import compare_runs, find_runs, unlike_sessions

    if as_json and as_csv:
        raise ConfigError("--json, --csv: exclude each other, got both. Give one of them.")
    found = find_runs(runs)
    columns, rows = compare_runs(found, load_registry())
    if (note := unlike_sessions(found)) is not None:
        click.secho(f"warning: {note}", err=True, fg="yellow")
    if output is not None:
        write_csv(output, columns, rows)
        click.echo(f"wrote {output}")
    elif as_json:
        click.echo(json.dumps([{column: row.get(column) for column in columns} for row in rows], indent=2))
    elif as_csv:
        click.echo(csv_of(columns, rows), nl=False)
    else:
        _print(columns, rows)


def _print(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A row for each quantity and a column for each run, for there are more quantities than runs."""
    from rich.text import Text

    table = plain_table(["run", *(str(row["run"]) for row in rows)], left=["run"])
    for column in columns[1:]:
        table.add_row(Text(printable(column)), *(Text(printable(_cell(row.get(column), column))) for row in rows))
    open_console().print(table)


def _cell(value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return format(value, _DIGITS.get(column.partition(" ")[0], ".4f"))
    try:
        return f"{float(value):.4g}" if isinstance(value, str) and len(value) > _MANY else str(value)
    except ValueError:
        return str(value)
