"""The ``lfads`` command; what it can do comes from plugins, core's own commands from ``lfads_core.builtin``."""

from __future__ import annotations

import os

import click

from lfads_core import __version__
from lfads_core.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'lfads COMMAND --help' says more about one command.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere on the line.")
@click.version_option(__version__, prog_name="lfads")
def cli(*, debug: bool) -> None:
    """Infer latent dynamics and firing rates from population recordings (LFADS)."""
    # torch's threads, once it is loaded, shall sleep between operations: while they spin, they hold the cores that the loops need
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Run the command line."""
    cli(prog_name="lfads")


if __name__ == "__main__":
    main()
