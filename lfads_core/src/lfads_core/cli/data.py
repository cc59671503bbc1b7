"""``lfads data``: what a recording holds, and what is wrong with it, before any time is spent on training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lfads_core.cli.errors import USER_ERROR
from lfads_core.cli.lazy import LazyGroup, installed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lfads_core.config.schema import Component
    from lfads_core.data.checks import Problem
    from lfads_core.data.summary import ArraySummary, SessionSummary
    from lfads_core.plugins.registry import Registry
    from lfads_core.plugins.specs import ComponentSpec

_WIDTH_OF_A_PIPE = 160
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
    from lfads_core.data.checks import check_summaries, worst_first

    registry = installed()
    wishes = _wishes(registry, plugins)
    reconstruction = wishes.pop("reconstruction")
    wishes["support"] = support or wishes["support"]
    wishes["batch_size"] = batch_size or wishes["batch_size"]
    sessions, problems = _look(files, registry, reconstruction)
    groups = [[s] for s in sessions] if separately else [sessions]
    problems = worst_first([*problems, *(problem for group in groups for problem in check_summaries(group, **wishes))])
    if as_json:
        click.echo(json.dumps(_plain(sessions, problems), indent=2))
    else:
        _print(sessions, problems)
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(USER_ERROR)


def _look(files: Sequence[str], registry: Registry, reconstruction: str | None) -> tuple[list[SessionSummary], list[Problem]]:
    """Summarise and inspect what can be read, one file in memory at a time; a file that cannot be read becomes a problem."""
    from lfads_core.data.checks import Problem
    from lfads_core.data.inspect import inspect_session
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
        if reconstruction is not None:
            problems += inspect_session(session, reconstruction, registry)
    return sessions, problems


def _wishes(registry: Registry, plugins: Sequence[str]) -> dict[str, Any]:
    """Say what a run with these plugins asks of data: reconstruction, kind of values, whether NaN may be there, trials in a step.

    Without plugins only the trials in a step are settled.
    """
    from lfads_core.config.fields import AUTO
    from lfads_core.config.load import resolve
    from lfads_core.plugins.specs import AugmentationSpec, ReconstructionSpec

    if not plugins:
        return {"reconstruction": None, "support": None, "observes_missing": None, "batch_size": None}
    config = resolve((), plugins, (), registry)

    def built(record: type[ComponentSpec], component: Component, *context: int) -> Any:
        spec: Any = registry.get(record, component.name)
        return spec.build(component.settings, *context)

    chosen = config.components
    support = built(ReconstructionSpec, chosen.reconstruction, 1).support
    stacks = (chosen.train_augmentations, chosen.infer_augmentations)  # training and validation both have to cope with NaN
    observing = all(any(built(AugmentationSpec, part).observes_missing for part in stack) for stack in stacks)
    return {
        "reconstruction": chosen.reconstruction.name,
        "support": support,
        "observes_missing": observing,
        "batch_size": None if config.data.batch_size == AUTO else config.data.batch_size,
    }


def _plain(sessions: Sequence[SessionSummary], problems: Sequence[Problem]) -> dict[str, Any]:
    from lfads_core.data.summary import suggest_reconstruction

    described = []
    for session in sessions:
        values = dataclasses.asdict(session)
        values["path"] = None if session.path is None else str(session.path)
        described.append({**values, "looks_like": suggest_reconstruction(session)})
    return {"sessions": described, "problems": [dataclasses.asdict(problem) for problem in problems]}


def _print(sessions: Sequence[SessionSummary], problems: Sequence[Problem]) -> None:
    from rich.text import Text

    from lfads_core.data.summary import suggest_reconstruction

    console = _console()
    for session in sessions:
        console.print(_heading(session))
        console.print(_table(session))
        first = next(iter(session.splits.values()))
        riding = ", ".join(f"{key}{_shape(shape[1:])}" for key, shape in sorted(first.extras.items()))
        whole = ", ".join(f"{key}{_shape(shape)}" for key, shape in sorted(session.arrays.items()))
        for label, text in (("per trial", riding), ("whole", whole), ("looks like", suggest_reconstruction(session))):
            if text:
                console.print(Text(f"  {label}: {text}"), soft_wrap=True)
        console.print()
    styles = {"error": "bold red", "warning": "yellow", "info": "cyan"}
    for problem in problems:
        label = "note" if problem.severity == "info" else problem.severity
        console.print(Text.assemble((label, styles[problem.severity]), f": {problem.text}"), soft_wrap=True)
    if not problems:
        console.print("nothing wrong", highlight=False)


def _console() -> Console:
    """Make a console as wide as the terminal; in a pipe wide enough that lines stay whole."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_OF_A_PIPE)


def _heading(session: SessionSummary) -> Any:
    from rich.text import Text

    first = next(iter(session.splits.values()))
    facts = [f"bins of {session.bin_ms:g} ms" if session.bin_ms else "bin width unknown (no attribute 'bin_ms')", first.recon.dtype]
    if first.external is not None:
        facts.append(f"{first.external.shape[2]} external inputs in {first.external.shape[1]} bins")
    return Text.assemble((session.name, "bold"), "  ", ", ".join(facts))


def _table(session: SessionSummary) -> Table:
    """One row for each split; numbers are of the values to reconstruct, the input's stand behind where they differ in size."""
    from rich.table import Table

    from lfads_core.data.summary import holds_counts

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("  split")
    to_seconds = 1000 / session.bin_ms if session.bin_ms and holds_counts(session) else None  # events per second mean nothing for other values
    headings = ["trials", "bins", "channels", "mean", *(["per s"] if to_seconds else []), "zeros", "missing", "silent", "min", "max"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, split in session.splits.items():
        recon, encod = split.recon, split.encod
        rate = [_number(recon.mean * to_seconds if recon.mean is not None else None)] if to_seconds else []
        table.add_row(
            f"  {name}",
            str(split.trials),
            _in_out(encod.shape[1], recon.shape[1]),
            _in_out(encod.shape[2], recon.shape[2]),
            _number(recon.mean),
            *rate,
            _share(recon.zeros, recon),
            _share(recon.missing, recon),
            str(len(recon.constant)),
            _number(recon.low),
            _number(recon.high),
        )
    return table


def _in_out(seen: int, reconstructed: int) -> str:
    return str(seen) if seen == reconstructed else f"{seen} in, {reconstructed} out"


def _share(count: int, array: ArraySummary) -> str:
    return "-" if not count else f"{count / array.size:.1%}" if count >= 0.001 * array.size else str(count)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _shape(shape: tuple[int, ...]) -> str:
    return " " + "x".join(map(str, shape)) if shape else ""
