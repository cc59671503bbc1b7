"""The commands of ``lfads collection`` that set runs going and end them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfads_core.cli.errors import INTERRUPTED
from lfads_core.cli.options import PATH, Number
from lfads_core.errors import ConfigError, RunError
from lfads_core.wording import printable

if TYPE_CHECKING:
    from lfads_plugins_tune.collection.queue import Limits

SOME_LEFT = 1
"""Exit code when the queue has ended and not every run is done."""

NAME = click.argument("name", type=PATH)
RUNS = click.argument("runs", nargs=-1, metavar="[RUN]...")


@click.command()
@NAME
@RUNS
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at a time  [default: one for each GPU, else one for each CPU]")
@click.option("--gpus", metavar="N,N...", help="GPUs to spread the runs over, as CUDA numbers them.")
@click.option("--memory", metavar="SIZE", help="Memory for each run, such as 4GB: it waits until that is free, and is ended when it uses more.")
@click.option("--gpu-memory", metavar="SIZE", help="Memory that must be free on a GPU before a run begins there.")
@click.option("--grace", type=Number(min=0), default=120.0, show_default=True, help="Seconds that runs have to save when stopped.")
@click.option("--detach", is_flag=True, help="Work in the background; see to it with status, wait and stop.")
@click.pass_context
def start(
    ctx: click.Context,
    name: Path,
    runs: tuple[str, ...],
    jobs: int | None,
    gpus: str | None,
    memory: str | None,
    gpu_memory: str | None,
    grace: float,
    *,
    detach: bool,
) -> None:
    """Prepare the collection and carry its runs out, some at a time; done ones are skipped, interrupted ones go on.

    RUN names some of them, or is a pattern such as 'day1*'. The runs go on when the terminal is closed, or when this command is
    killed: the same command then takes them over. Ctrl-C lets them save and ends. A failed run is not tried again before
    `lfads collection retry`. The exit code is 1 when some runs are not done at the end.

    \b
      lfads collection start sweep --jobs 4 --memory 4GB
      lfads collection start sweep --gpus 0,1 --detach
    """
    from lfads_core.plugins import registry_of
    from lfads_plugins_tune.collection.control import start_in_background, work
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.prepare import prepare

    collection = Collection.open(name)
    limits = _limits(jobs, gpus, memory, gpu_memory, grace)
    for note in (prepared := prepare(collection, registry_of(collection.path))).notes:
        click.echo(printable(f"note: {note}"))
    if prepared.made:
        click.echo(f"{len(prepared.made)} new runs")
    collection.chosen(runs)  # so that a wrong name is told here
    if detach:
        options = {"--jobs": jobs, "--gpus": gpus, "--memory": memory, "--gpu-memory": gpu_memory, "--grace": grace}
        given = [text for option, value in options.items() if value is not None for text in (option, str(value))]
        process = start_in_background(collection, [*runs, *given])
        click.echo(f"working in the background (process {process}); it writes to {collection.queue_log}")
        click.echo(f"next: lfads collection status {name}")
        return
    counts = work(collection, limits, runs, say)
    _end(ctx, counts)


def say(text: str) -> None:
    """Print a line; when the terminal is closed, this one and all that follow go nowhere, and the runs do not mind."""
    try:
        click.echo(text)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _end(ctx: click.Context, counts: Mapping[str, int]) -> None:
    from lfads_plugins_tune.collection.rows import ORDER

    total = sum(counts.values())
    say(f"{total} runs: {', '.join(f'{counts[status]} {status}' for status in ORDER if counts.get(status))}")
    if counts.get("interrupted") or counts.get("ready"):
        ctx.exit(INTERRUPTED)
    if counts.get("done", 0) != total:
        ctx.exit(SOME_LEFT)


@click.command()
@NAME
@click.pass_context
def wait(ctx: click.Context, name: Path) -> None:
    """Wait until the queue in the background has ended; the exit code is 1 when some runs are not done then."""
    from lfads_plugins_tune.collection import control
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.rows import states, tally

    collection = Collection.open(name)
    control.wait(collection)
    found = states(collection.entries())
    click.echo(tally(found))
    if any(state.status != "done" for state in found):
        ctx.exit(SOME_LEFT)


@click.command()
@NAME
@click.option("--now", is_flag=True, help="End the runs at once; what they did since their last checkpoint is lost.")
def stop(name: Path, *, now: bool) -> None:
    """End the queue and all runs at work; they save first. `lfads collection start` goes on."""
    from lfads_plugins_tune.collection import control
    from lfads_plugins_tune.collection.folder import Collection

    collection = Collection.open(name)
    count = control.stop(collection, now=now)
    click.echo(f"stopped {count} run{'' if count == 1 else 's'}; go on with: lfads collection start {name}")


@click.command()
@NAME
@RUNS
@click.option("--anew", is_flag=True, help="From the beginning, not from the last checkpoint.")
def retry(name: Path, runs: tuple[str, ...], *, anew: bool) -> None:
    """Have failed runs tried again, by a queue that works or by the next one; RUN names some, or is a pattern."""
    from lfads_plugins_tune.collection import change
    from lfads_plugins_tune.collection.control import is_working
    from lfads_plugins_tune.collection.folder import Collection

    collection = Collection.open(name)
    again = change.retry(collection.chosen(runs), anew=anew)
    for run in again:
        click.echo(printable(f"again: {run}"))
    if not again:
        click.echo("no failed runs")
    elif not is_working(collection):
        click.echo(f"next: lfads collection start {name}")


@click.command()
@NAME
@click.argument("run", required=False)
@click.option("--index", type=click.IntRange(min=0), help="The run by its number in `lfads collection list`, from 0.")
@click.pass_context
def job(ctx: click.Context, name: Path, run: str | None, index: int | None) -> None:
    """Carry out one run in this process, for schedulers such as SLURM: begin it, go on with it, or find it done.

    What it prints goes to log.txt in the run's folder. Several jobs may work on a collection, on any number of machines.
    """
    from lfads_plugins_tune.collection.folder import Collection
    from lfads_plugins_tune.collection.job import do_run

    if (run is None) == (index is None):
        raise ConfigError("RUN, --index: one of them must say which run, got both or none.")
    collection = Collection.open(name)
    entries = collection.entries()
    if index is not None:
        if index >= len(entries):
            raise ConfigError(f"--index: must be below the number of runs, {len(entries)}, got {index}")
        entry = entries[index]
    elif (found := next((entry for entry in collection.all() if entry.name == run), None)) is not None:
        entry = found
    else:
        raise RunError(f"{name}: RUN must be the name of a run, got {run!r}. `lfads collection list {name}` names them.")
    ctx.exit(do_run(collection, entry))


def _limits(jobs: int | None, gpus: str | None, memory: str | None, gpu_memory: str | None, grace: float) -> Limits:
    from lfads_plugins_tune.collection.queue import Limits
    from lfads_plugins_tune.collection.sizes import parse_size

    names = tuple(part.strip() for part in gpus.split(",")) if gpus is not None else ()
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"--gpus: must be different numbers with commas between, such as 0,1, got {gpus!r}")
    if gpu_memory is not None and not names:
        raise ConfigError("--gpu-memory: needs --gpus to say which GPUs, got none.")
    return Limits(
        jobs=jobs or len(names) or _cpus(),
        gpus=names,
        memory=None if memory is None else parse_size(memory, "--memory"),
        gpu_memory=None if gpu_memory is None else parse_size(gpu_memory, "--gpu-memory"),
        grace=grace,
    )


def _cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
