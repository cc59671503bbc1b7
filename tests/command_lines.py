"""Command lines as click understands them, for tests of what the documentation shows."""

from __future__ import annotations

import shlex

import click

from lfads_core.cli.lazy import set_apart
from lfads_core.cli.main import cli


def parsed(line: str) -> tuple[click.Command, dict[str, object]]:
    """The command of a line, and its arguments as click understands them; raises a usage error."""
    words, command, context = set_apart(shlex.split(line)[1:])[1], cli, click.Context(cli, info_name="lfads", **cli.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, command = words[0], command.get_command(context, words[0])
        assert command is not None, f"no command {name!r}"
        words = words[1:]
    try:
        return command, command.make_context(command.name, words, parent=context).params if not isinstance(command, click.Group) else {}
    except click.exceptions.Exit:  # --help
        return command, {}
