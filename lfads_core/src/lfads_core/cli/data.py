"""``lfads data``: what a recording holds, and what is wrong with it, before any time is spent on training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.errors import USER_ERROR
from lfads_core.cli.lazy import LazyGroup, installed
from lfads_core.screen import open_console

if TYPE_CHECKING:
    from lfads_core.data.checks import Problem
    from lfads_core.data.summary import SessionSummary
    from lfads_core.front.tables import Wishes
    from lfads_core.plugins.registry import Registry

_SUPPORTS = ("counts", "real", "nonnegative", "positive")


@click.group(cls=LazyGroup, prefix="data")
def command() -> None:
    """Make recordings into files for training, look into them, change them."""


@command.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="Check for this recipe or component; may be repeated.")
@click.option("--support", type=click.Choice(_SUPPORTS), help="Check that the data are such values, whatever the reconstruction.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Check that a step of so many trials can be filled (default: what a run would take).")
@click.option("--separately", is_flag=True, help="Take each file as a recording of its own, not as sessions of one model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_context
def check(  # click hands over every option
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    plugins: tuple[str, ...],
    support: str | None,
    batch_size: int | None,
    separately: bool,
    as_json: bool,
) -> None:
    """Show what recordings hold, and what is wrong with them.

    FILE is an HDF5 file, a folder or a pattern such as 'data/*.h5'. The exit code is 2 when something must be mended, 0 when there
    are only warnings and notes.
    """
    from lfads_core.data.checks import worst_first
    from lfads_core.front.tables import wishes_of

    registry = installed()
    wishes = wishes_of(plugins, registry)
    wishes = dataclasses.replace(wishes, support=support or wishes.support, batch_size=batch_size or wishes.batch_size)
    sessions, problems = _look(files, registry, wishes)
    groups = [[s] for s in sessions] if separately else [sessions]
    problems = worst_first([*problems, *(problem for group in groups for problem in wishes.problems(group))])
    if as_json:
        click.echo(json.dumps(_plain(sessions, problems), indent=2))
    else:
        _print(sessions, problems)
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(USER_ERROR)


def _look(files: Sequence[str], registry: Registry, wishes: Wishes) -> tuple[list[SessionSummary], list[Problem]]:
    """Summarise and inspect what can be read, one file in memory at a time; a file that cannot be read becomes a problem."""
    from lfads_core.data.checks import Problem
    from lfads_core.data.memory import room_for_data
    from lfads_core.data.read import name_files, read_sessions
    from lfads_core.data.summary import summarise
    from lfads_core.errors import DataError
    from lfads_core.plugins.specs import DataReaderSpec

    readers = registry.all(DataReaderSpec)
    sessions: list[SessionSummary] = []
    problems: list[Problem] = []
    for name, path in sorted(name_files(files, readers).items()):
        try:
            session = next(iter(read_sessions([path], registry, required=("train", "valid"), room=room_for_data())))
        except DataError as err:
            problems.append(Problem(severity="error", text=str(err), session=name))
            continue
        sessions.append(summarise(session))
        problems += wishes.inspected(session, registry)
    return sessions, problems


def _plain(sessions: Sequence[SessionSummary], problems: Sequence[Problem]) -> dict[str, Any]:
    from lfads_core.data.summary import suggest_reconstruction

    described = []
    for session in sessions:
        values = dataclasses.asdict(session)
        values["path"] = None if session.path is None else str(session.path)
        described.append({**values, "looks_like": suggest_reconstruction(session)})
    return {"sessions": described, "problems": [dataclasses.asdict(problem) for problem in problems]}


def _print(sessions: Sequence[SessionSummary], problems: Sequence[Problem]) -> None:
    from lfads_core.front.tables import shown_problems, shown_sessions

    console = open_console()
    for part in (*shown_sessions(sessions), *shown_problems(problems)):
        console.print(part, soft_wrap=True, highlight=False)
