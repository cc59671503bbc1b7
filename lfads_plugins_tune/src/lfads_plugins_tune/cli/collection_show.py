"""The commands of ``lfads collection`` that show what is there, or delete it."""

from __future__ import annotations

import json
from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.options import PATH
from lfads_core.errors import ConfigError
from lfads_core.screen import plain_table, print_fitting
from lfads_core.wording import printable

if TYPE_CHECKING:
    from rich.table import Table

    from lfads_plugins_tune.collection.folder import CollectedRun, Collection
    from lfads_plugins_tune.collection.state import CollectionState

NAME = click.argument("name", type=PATH)
RUNS = click.argument("runs", nargs=-1, metavar="[RUN]...")


@click.command()
@NAME
@RUNS
@click.option("--tail", "lines", type=click.IntRange(min=0), default=20, show_default=True, help="Last lines to show of each failed run.")
@click.option("--former", is_flag=True, help="Show runs of former settings or data too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def status(name: Path, runs: tuple[str, ...], lines: int, *, former: bool, as_json: bool) -> None:
    """Show where each run stands, and the last lines of failed ones."""
    from lfads_plugins_tune.collection.control import is_working, read_queue
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.prepare import is_current
    from lfads_plugins_tune.collection.rows import STATE_HEADINGS, plain_state, state_row, states, tally
    from lfads_plugins_tune.collection.state import tail

    collection = Collection.open(name)
    entries = collection.chosen(runs, [*collection.entries(), *(collection.others() if former else [])])
    found = states(entries)
    queue = read_queue(collection) if is_working(collection) else None
    if as_json:
        click.echo(
            json.dumps(
                {
                    "queue": None if queue is None else {"pid": queue.pid, "host": queue.host, "jobs": queue.jobs},
                    "current": is_current(collection),
                    "runs": [plain_state(state, entry, lines) for state, entry in zip(found, entries, strict=True)],
                },
                indent=2,
            )
        )
        return
    _print(STATE_HEADINGS, [state_row(state) for state in found], right=(2, 3, 4, 5), elsewhere="--json", least=[*STATE_HEADINGS[:2], ""])
    for state, entry in zip(found, entries, strict=True):
        if state.status == "failed" and lines:
            click.echo(printable(f"\n{state.name} failed; the last lines of {entry.log_path}:"))
            for line in tail(entry, lines):
                click.echo(printable(f"  {line}"))
    click.echo(f"\n{tally(found)}; {_queue_words(collection, queue is not None)}")
    for hint in _hints(collection, found, former=former, current=is_current(collection)):
        click.echo(printable(hint))


def _queue_words(collection: Collection, working: bool) -> str:
    from lfads_plugins_tune.collection.control import read_queue

    queue = read_queue(collection)
    if working and queue is not None:
        return f"a queue works (process {queue.pid} on {queue.host}, {queue.jobs} at a time)"
    return "no queue works"


def _hints(collection: Collection, found: Sequence[CollectionState], *, former: bool, current: bool) -> list[str]:
    hints = []
    if not current:
        hints.append(f"collection.yaml has changed since: lfads collection prepare {collection.path}")
    if any(state.status == "failed" for state in found):
        hints.append(f"to try failed runs again: lfads collection retry {collection.path}")
    if not former and (others := collection.others()):
        hints.append(f"{len(others)} more of former settings or data: --former shows them")
    return hints


@click.command()
@NAME
@click.option("--min-trials", type=click.IntRange(min=1), help="Only recordings with so many training trials.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Say which datasets could not fill a batch of so many trials.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def info(name: Path, min_trials: int | None, batch_size: int | None, *, as_json: bool) -> None:
    """Show the recordings: trials, bins, channels, conditions, and the hash of their contents."""
    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.rows import recordings_table

    collection = Collection.open(name)
    rows = [row for row in recordings_table(collection, registry_of(collection.path)) if row["trials"]["train"] >= (min_trials or 0)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    splits = list(dict.fromkeys(split for row in rows for split in row["trials"]))
    headings = ("dataset", "recording", *splits, "bins", "channels", "bin ms", "conditions", "hash", "file")
    shown = [
        [
            row["dataset"] or "(left out)",
            row["recording"],
            *(str(row["trials"].get(split, "")) for split in splits),
            str(row["bins"]),
            str(row["channels"]),
            "" if row["bin_ms"] is None else f"{row['bin_ms']:g}",
            "" if row["conditions"] is None else str(row["conditions"]),
            row["hash"],
            row["path"],
        ]
        for row in rows
    ]
    _print(headings, shown, right=range(2, 6 + len(splits)), elsewhere="--json", least=("dataset", "recording", *splits))
    if batch_size is not None:
        _say_batches(rows, batch_size)


def _say_batches(rows: Sequence[Mapping[str, Any]], batch_size: int) -> None:
    trials: dict[str, int] = {}
    for row in rows:
        if row["dataset"]:
            trials[row["dataset"]] = trials.get(row["dataset"], 0) + row["trials"]["train"]
    short = {name: count for name, count in trials.items() if count < batch_size}
    for name, count in short.items():
        click.echo(f"{name}: {count} training trials do not fill a batch of {batch_size}")
    if not short:
        click.echo(f"every dataset fills a batch of {batch_size}")


@click.command()
@NAME
@RUNS
@click.option("--all", "every", is_flag=True, help="Scores of all splits and sessions, not only of validation trials.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("-o", "--output", type=PATH, help="Write CSV to a file.")
def table(name: Path, runs: tuple[str, ...], output: Path | None, *, every: bool, as_csv: bool) -> None:
    """Show final scores of the runs side by side, with the settings that vary; CSV has more columns than fit the screen."""
    from lfads_core.cli import tables
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.rows import score_table

    collection = Collection.open(name)
    columns, rows = score_table(collection.chosen(runs), every=every)
    if output is not None:
        tables.write_csv(output, columns, rows)
        click.echo(f"wrote {output}")
        return
    if as_csv:
        click.echo(tables.as_csv(columns, rows), nl=False)
        return
    scores = [column for column in columns if "/" in column]
    right = [i for i, column in enumerate(columns) if column not in _WORDS]
    _print(columns, [[_cell(row, column) for column in columns] for row in rows], right, "--csv", least=[*_WORDS, *scores[:1]])


_WORDS = ("run", "dataset", "variant", "status")


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column not in row or (row[column] is None and "." not in column):
        return ""
    value = row[column]
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


@click.command("list")
@NAME
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option("--paths", is_flag=True, help="Print folders, not names.")
def listing(name: Path, *, count: bool, paths: bool) -> None:
    """List the runs, one a line, in the order in which they are carried out and numbered from 0."""
    from lfads_plugins_tune.collection.folder import Collection

    entries = Collection.open(name).entries()
    if count:
        click.echo(len(entries))
        return
    for entry in entries:
        click.echo(entry.run.path if paths else entry.name)


@click.command()
@NAME
@RUNS
@click.option("--outputs", is_flag=True, help="Delete all that the runs have written; settings stay, and they can be run again.")
@click.option("--former", is_flag=True, help="Delete runs of former settings or data, with their folders.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: Path, runs: tuple[str, ...], *, outputs: bool, former: bool, yes: bool) -> None:
    """Delete outputs, or runs of former settings or data; asks first. RUN names some, or is a pattern."""
    from lfads_plugins_tune.collection import change
    from lfads_plugins_tune.collection.folder import Collection

    if outputs == former:
        raise ConfigError("--outputs, --former: one of them must say what to delete, got both or none.")
    collection = Collection.open(name)
    entries = collection.chosen(runs, collection.others()) if former else collection.chosen(runs)
    if not entries:
        click.echo("nothing to delete")
        return
    _ask(entries, "folders" if former else "outputs", yes=yes)
    (change.delete_runs if former else change.delete_outputs)(entries)
    click.echo(f"deleted the {'folders' if former else 'outputs'} of {len(entries)} runs")


def _ask(entries: Sequence[CollectedRun], what: str, *, yes: bool) -> None:
    from lfads_core.wording import spoken_size
    from lfads_plugins_tune.collection.change import outputs_size

    for entry in entries:
        click.echo(entry.run.path)
    if not yes:
        click.confirm(f"Delete the {what} of these {len(entries)} runs ({spoken_size(outputs_size(entries))})?", abort=True)


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] | range, elsewhere: str, *, least: Names[str]) -> None:
    """A table of as many columns as fit the window, whole."""
    from rich.text import Text

    cells = [dict(zip(headings, row, strict=True)) for row in rows]
    left = [heading for i, heading in enumerate(headings) if i not in right]

    def table(kept: Names[str]) -> Table:
        made = plain_table(list(kept), left=left)
        for row in cells:
            made.add_row(*(Text(printable(row[heading])) for heading in kept))
        return made

    print_fitting(table, headings, least, elsewhere)
