"""What ``lfads search`` prints: the plan before, the table while and after, and the best model's scores."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.display import quoted, show_outputs
from lfads_core.cli.errors import INTERRUPTED
from lfads_core.front.logs import send_logs_to
from lfads_core.locks import is_locked
from lfads_core.screen import open_console
from lfads_core.wording import printable
from lfads_plugins_tune.search.progress import SearchDisplay
from lfads_plugins_tune.search.report import WHY_STOPPED, Line, headline, lines_of, number_text, shown_names, stacked, table_of
from lfads_plugins_tune.search.state import SearchState, read_state

if TYPE_CHECKING:
    from lfads_plugins_tune.search.run import Searched
    from lfads_plugins_tune.search.settings import SearchSettings

FIRST = 8
"""Members whose first hyperparameters are printed by ``--dry-run``."""


def make_search_display() -> SearchDisplay:
    """A display for this terminal; log messages of the package go through it."""
    display = SearchDisplay()
    send_logs_to(display.message)
    return display


def print_plan(ready: SearchSettings, state: SearchState) -> None:
    """Say what would be searched, and how."""
    from lfads_plugins_tune.search.spaces_of import search_of, text_of

    goal = "most" if ready.score.startswith("-") else "least"
    in_rounds = any(later <= earlier for earlier, later in itertools.pairwise(ready.targets))
    members = f"{search_of(ready.base).members} members, {len(state.members)} at a time" if in_rounds else f"{len(state.members)} members"
    click.echo(f"{ready.kind}: {members}, {len(ready.targets)} generations, {ready.targets[-1]} epochs each")
    click.echo(f"compared by the {goal} {ready.score.removeprefix('-')}, each member judged by validation.judge={ready.base.validation.judge}")
    if ready.kind == "pbt":
        click.echo(f"compared first after {ready.burn_in} epochs, then every {search_of(ready.base).interval}")
    click.echo("spaces:")
    for path, space in ready.spaces.items():
        click.echo(printable(f"  {path} = {text_of(space)}"))
    click.echo("first members:")
    _print_members(state, lines_of(state)[:FIRST])
    if len(state.members) > FIRST:
        click.echo(f"... and {len(state.members) - FIRST} more")


def print_status(folder: Path) -> None:
    """Print how a search stands."""
    state = read_state(folder)
    driven = is_locked(folder)
    click.echo(f"{folder}: {headline(state)}")
    click.echo(f"status: {_status(state, driven=driven)}")
    if state.error and not driven:
        click.echo(printable(f"error: {state.error}"))
    if state.stopped is not None:
        click.echo(f"ended: {WHY_STOPPED[state.stopped]}")
    _print_members(state, lines_of(state, _epochs_so_far(folder, state)))
    if state.best is not None:
        found = [f"{name} {number_text(value)}" for name, value in state.best.scores.items() if name.startswith("valid/") and name.count("/") == 1]
        click.echo(f"best: member {state.best.member} in {folder / 'best'}{': ' if found else ''}{', '.join(found)}")
    if not driven and state.status != "finished":
        click.echo(f"go on with: lfads search resume {quoted(folder)}")
    if not driven and any(m.status in {"failed", "diverged", "lost"} for m in state.members):
        click.echo(f"another try for members that failed: lfads search retry {quoted(folder)}")


def _print_members(state: SearchState, lines: Sequence[Line]) -> None:
    """A table, or lines of text where that would not be as wide as its numbers."""
    console = open_console()
    table = table_of(state, lines, width=console.width)
    if shown_names(table, state):
        console.print(table)
    else:
        click.echo("\n".join(stacked(state, lines)))


def show_searched(searched: Searched, display: SearchDisplay) -> None:
    """Say what came of a search and where to look."""
    folder, state, run = searched.folder, searched.state, searched.best
    if run is None:
        display.message(f"interrupted; everything is saved. Go on with: lfads search resume {quoted(folder)}")
        raise click.exceptions.Exit(INTERRUPTED)
    show_outputs(run, {} if state.best is None else state.best.scores, display.message)
    display.message(f"all members:       lfads search status {quoted(folder)}")
    display.message(f"load in Python:    lfads_core.load({str(run.path)!r})")


def _status(state: SearchState, *, driven: bool) -> str:
    """The journal's word, unless nobody is there to make it true."""
    if driven:
        return "running" if state.status != "sampling" else "inferring the best member"
    if state.status in {"running", "sampling"}:
        return "stopped without a word (killed, or the machine went down); nothing is lost"
    return state.status


def _epochs_so_far(folder: Path, state: SearchState) -> dict[int, int]:
    """Epochs of members that the table knows and the journal does not yet, in the generation that is being carried out."""
    from lfads_core.errors import RunError
    from lfads_core.track.fitlog import read_fitlog

    try:
        table = read_fitlog(folder / "fitlog.csv")
    except RunError:
        return {}
    found: dict[int, int] = {}
    for member, generation, epoch in zip(table.get("member", []), table.get("generation", []), table["epoch"], strict=False):
        if generation == state.generation:
            found[int(member)] = max(found.get(int(member), 0), int(epoch) + 1)
    return found
