"""What ``lfads run`` shows: progress while it trains, and what came of it."""

from __future__ import annotations

import logging

import click

from lfads_core.train.progress import Display
from lfads_core.train.run import Finished


def make_display() -> Display:
    """A progress display for this terminal; log messages of the package go through it."""
    display = Display()
    handler = _ToDisplay(display)
    logger = logging.getLogger("lfads_core")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return display


class _ToDisplay(logging.Handler):
    """Log records become messages of the display."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; warnings say so."""
        text = record.getMessage()
        self.display.message(f"warning: {text}" if record.levelno >= logging.WARNING else text)


def show_finished(finished: Finished) -> None:
    """Say what came of a run and where to look."""
    run = finished.run
    if finished.outcome == "interrupted":
        click.echo(f"interrupted; everything is saved. Go on with: lfads run --resume {run.path}")
        raise click.exceptions.Exit(130)
    for name, value in finished.scores.items():
        if name.startswith("valid/") and name.count("/") == 1:
            click.echo(f"  {name:<28} {value:.4f}")
    for path in sorted(run.path.glob("lfads_output_*.h5")):
        click.echo(f"rates and factors: {path}")
    click.echo(f"figures:           {run.plots}")
    click.echo(f"load in Python:    lfads_core.load({str(run.path)!r})")
