"""What ``lfads run`` shows: progress while it trains, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from lfads_core.cli.errors import INTERRUPTED
from lfads_core.front.logs import send_logs_to
from lfads_core.pipeline.run import Finished
from lfads_core.runs import Run
from lfads_core.train.progress import Display


def make_display() -> Display:
    """A progress display for this terminal; log messages of the package go through it."""
    display = Display()
    send_logs_to(display.message)
    return display


def show_finished(finished: Finished, display: Display) -> None:
    """Say what came of a run and where to look; nobody needs to be listening."""
    run = finished.run
    if finished.outcome == "interrupted":
        display.message(f"interrupted; everything is saved. Go on with: lfads run --resume {quoted(run.path)}")
        raise click.exceptions.Exit(INTERRUPTED)
    show_outputs(run, finished.scores, display.message)
    display.message(f"load in Python:    lfads_core.load({str(run.path)!r})")
    display.message(f"is it good?        lfads report {quoted(run.path)}")


def show_outputs(run: Run, scores: Mapping[str, float], say: Callable[[str], None]) -> None:
    """Say how well a finished run predicts the validation trials, and where its rates and figures are."""
    for name, value in scores.items():
        if name.startswith("valid/") and name.count("/") == 1:
            say(f"  {name:<28} {value:.4f}")
    for path in run.outputs:
        say(f"rates and factors: {path}")
    if any(run.plots.glob("*")):
        say(f"figures:           {run.plots}")


def quoted(path: Path) -> str:
    """A path as one would type it."""
    return shlex.quote(str(path))
