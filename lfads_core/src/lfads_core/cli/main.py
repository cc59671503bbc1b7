"""The ``lfads`` command; what it can do comes from plugins, core's own commands from ``lfads_core.builtin``."""

from __future__ import annotations

import io
import logging
import os
import sys

import click

from lfads_core import __version__
from lfads_core.cli.errors import require_folder, spoken_errors
from lfads_core.cli.lazy import LazyGroup, load_plugin_files
from lfads_core.cli.options import PATH
from lfads_core.wording import printable


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'lfads COMMAND --help' says more about one command.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere on the line.")
@click.option(
    "--plugin-file",
    "files",
    multiple=True,
    type=PATH,
    is_eager=True,
    expose_value=False,
    callback=load_plugin_files,
    metavar="FILE.py",
    help="A plugin that is one Python file and no package; may be repeated, and stand anywhere on the line. Runs and searches keep a copy.",
)
@click.version_option(__version__, prog_name="lfads")
def cli(*, debug: bool) -> None:
    """Infer latent dynamics and firing rates from population recordings (LFADS)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that a terminal or locale lacks stand as escapes
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:  # what says warnings where no display does
        logging.lastResort.setFormatter(_Printable())
    require_folder()
    # torch's threads, once it is loaded, shall sleep between operations: while they spin, they hold the cores that the loops need
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class _Printable(logging.Formatter):
    """Names in a file may hold what moves a terminal's cursor."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def main() -> None:
    """Run the command line."""
    with spoken_errors(debug=False, outermost=True):  # what the words themselves and the help meet, before and after a command
        cli(prog_name="lfads")


if __name__ == "__main__":
    main()
