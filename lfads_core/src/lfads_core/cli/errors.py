"""What an error looks like on the command line, and its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from lfads_core.errors import LfadsError
from lfads_core.origin import blamed

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@contextmanager
def spoken_errors(*, debug: bool) -> Iterator[None]:
    """Turn an :class:`LfadsError` into one message and exit code 2, Ctrl-C into exit code 130.

    With ``debug`` the error keeps its traceback. Any other exception always keeps it, because it is our bug, unless it was raised in a
    component, which is named then.
    """
    try:
        with _components_blamed():
            yield
    except LfadsError as err:
        if debug:
            raise
        click.echo(f"error: {err}", err=True)
        raise click.exceptions.Exit(USER_ERROR) from err
    except (KeyboardInterrupt, click.Abort) as err:
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from err


@contextmanager
def _components_blamed() -> Iterator[None]:
    try:
        yield
    except Exception as err:
        if (named := blamed(err)) is None:
            raise
        raise named from err
