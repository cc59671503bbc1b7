"""What an error looks like on the command line, and its exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from lfads_core.errors import LfadsError, RunError
from lfads_core.origin import blamed
from lfads_core.plugins.loading import BrokenPlugin
from lfads_core.plugins.registry import TRACEBACKS
from lfads_core.wording import one_line, printable

USER_ERROR = 2
_NO_MEMORY = ("not enough memory", "out of memory", "Storage size calculation overflowed")
"""What torch says when there is none."""

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def show_tracebacks(faults: Sequence[BrokenPlugin]) -> None:
    """Where broken plugins broke."""
    for fault in faults:
        if fault.cause is not None:
            click.echo(f"{fault.provider}:\n{''.join(traceback.format_exception(fault.cause))}", err=True)


@contextmanager
def tracebacks_of_warnings() -> Iterator[None]:
    """Meanwhile say where it is that something fails which costs no more than a warning."""
    logger = logging.getLogger(TRACEBACKS)
    logger.handlers, logger.propagate = [logging.StreamHandler()], False
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)


@contextmanager
def spoken_errors(*, debug: bool, outermost: bool = False) -> Iterator[None]:
    """Turn an :class:`LfadsError` into one message and exit code 2, Ctrl-C into exit code 130.

    So are faults of the system that nobody below has told better: a full disk, a folder that went away, no memory. With ``debug`` the
    error keeps its traceback. Any other exception always keeps it, because it is our bug, unless it was raised in a component, which is
    named then.
    """
    try:
        with _components_blamed():
            yield
    except LfadsError as err:
        if debug:
            raise
        _say(f"error: {err}")
        raise click.exceptions.Exit(USER_ERROR) from err
    except (KeyboardInterrupt, click.Abort) as err:  # click's is a RuntimeError
        _say(f"interrupted; {err}" if str(err) else "interrupted")
        raise (SystemExit if outermost else click.exceptions.Exit)(INTERRUPTED) from err
    except (OSError, MemoryError, RuntimeError) as err:
        if debug or isinstance(err, BrokenPipeError) or (text := _fault_of_the_system(err)) is None:
            raise
        _say(f"error: {text}")
        if outermost:
            sys.stdout = None  # it takes no more, and Python would say so once again
        raise (SystemExit if outermost else click.exceptions.Exit)(USER_ERROR) from err


@contextmanager
def _components_blamed() -> Iterator[None]:
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise  # a command's own way to end, whoever's it is
    except (Exception, SystemExit) as err:
        if (named := blamed(err)) is None:
            raise
        raise named from err


def _fault_of_the_system(err: OSError | MemoryError | RuntimeError) -> str | None:
    """A sentence; None for what looks like the system's and is not: an OSError without a number, a RuntimeError that is not torch's about memory."""
    if isinstance(err, RuntimeError) and not any(word in str(err) for word in _NO_MEMORY):
        return None
    if not isinstance(err, OSError):
        return f"memory: must be enough for what is asked, got {one_line(err)}. Ask for less at once, or give more memory."
    if not err.errno:
        return None
    what = "the output" if err.filename is None else str(err.filename)
    return f"{what}: must do what is asked of it, got: {err.strerror or err}. Make room, or mend the place; --debug shows where."


def require_folder() -> None:
    """Refuse to begin in a folder that is gone: libraries would end the process, each in its own way.

    Raises:
        RunError: it is.
    """
    try:
        Path.cwd()
    except OSError as err:
        raise RunError(f"the current folder: must be there, got: {err.strerror}. Change to another one (cd).") from err


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        click.echo(printable(text), err=True)
