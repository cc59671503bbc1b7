"""What ``lfads run`` shows: progress while it trains, and what came of it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from lfads_core.cli.errors import INTERRUPTED
from lfads_core.pipeline.run import Finished
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.train.progress import Display


def make_display() -> Display:
    """A progress display for this terminal; log messages of the package go through it."""
    display = Display()
    send_logs_to(display.message)
    return display


def send_logs_to(say: Callable[[str], None], level: int = logging.INFO) -> None:
    """Let log messages of core and of every plugin's package be said like any other, from a level on."""
    handler = _ToDisplay(say)
    for name in {"lfads", "lfads_core", *(plugin.package for plugin in load_registry().plugins if plugin.package)}:  # lfads speaks of plugins
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


class _ToDisplay(logging.Handler):
    """Log records become messages of a display."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; warnings say so."""
        text = record.getMessage()
        self.say(f"warning: {text}" if record.levelno >= logging.WARNING else text)


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
