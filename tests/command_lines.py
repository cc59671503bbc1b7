"""Command lines as click understands them, for tests of what the documentation shows."""

from __future__ import annotations

import shlex

import click

from lfads_core.cli.lazy import set_apart
from lfads_core.cli.main import cli
from lfads_core.cli.reference import command_contexts


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


def every_command() -> list[tuple[str, ...]]:
    """The words of every command and group."""
    return [tuple(context.command_path.split()[1:]) for context in command_contexts()]
