"""A group of commands that come from plugins: each is imported only when it is invoked, so that ``lfads --help`` stays quick."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from lfads_core.cli.errors import show_tracebacks, spoken_errors, tracebacks_of_warnings
from lfads_core.errors import PluginError
from lfads_core.plugins.offers import offered
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.single_files import VARIABLE, want_files, wanted_files
from lfads_core.plugins.specs import CommandSpec, Imported

_REGISTRY = f"{__name__}.registry"


def installed(ctx: click.Context | None = None) -> Registry:
    """What is installed, looked up once for each invocation of the command line; ``ctx`` is the one that runs."""
    meta = (click.get_current_context() if ctx is None else ctx).meta
    if _REGISTRY not in meta:
        meta[_REGISTRY] = Registry.from_installed()
    found: Registry = meta[_REGISTRY]
    return found


def load_plugin_files(ctx: click.Context, _parameter: click.Parameter, files: tuple[Path, ...]) -> None:
    """Callback of ``--plugin-file``: have this process load them, for as long as this invocation lasts.

    Raises:
        PluginError: one cannot be loaded.
    """
    before = os.environ.get(VARIABLE)

    def put_back() -> None:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before

    ctx.call_on_close(put_back)
    if not files:
        return
    try:
        want_files([*wanted_files(), *files])
        installed(ctx)
    except PluginError:
        put_back()
        raise


def set_apart(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of ``lfads`` itself that may stand anywhere before a ``--``, and all other words."""
    end = args.index("--") if "--" in args else len(args)
    front, rest, words = list[str](), list[str](), iter(args[:end])
    for word in words:
        takes = word == "--plugin-file"
        (front if takes or word == "--debug" or word.startswith("--plugin-file=") else rest).append(word)
        front += [value for value in [next(words, None)] if value is not None] if takes else []
    return front, [*rest, *args[end:]]


class LazyGroup(click.Group):
    """Commands of ``lfads_commands`` below ``prefix`` (``data`` for ``data make``), beside those that were added to the group itself.

    ``--debug`` may stand anywhere on the line, because one adds it after something went wrong.
    """

    def __init__(self, *args: Any, prefix: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prefix = f"{prefix} " if prefix else ""

    def _by_distribution(self, ctx: click.Context) -> dict[str, dict[str, CommandSpec]]:
        """Offered commands of this group by distribution, core's first, each in the order in which it is offered."""
        found: dict[str, dict[str, CommandSpec]] = {}
        for spec, provider in installed(ctx).as_offered(CommandSpec):
            prefix, space, name = spec.name.rpartition(" ")
            if prefix + space == self._prefix:
                found.setdefault(provider.distribution, {})[name] = spec
        return found

    def _offered(self, ctx: click.Context) -> dict[str, CommandSpec]:
        return {name: spec for commands in self._by_distribution(ctx).values() for name, spec in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the group's own commands, then of what is offered."""
        own = list(self.commands)
        return own + [name for name in self._offered(ctx) if name not in own]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Raises:
            PluginError: two plugins offer it, or what is offered is no click command.
        """
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        if cmd_name not in self._offered(ctx):
            return None
        spec = installed(ctx).get(CommandSpec, self._prefix + cmd_name)
        owner = installed(ctx).owner(CommandSpec, spec.name)
        try:
            command = spec.command.load() if isinstance(spec.command, Imported) else spec.command
        except PluginError as err:
            raise PluginError(f"{owner}: the command {spec.name!r} cannot be had: {err}") from err
        if not isinstance(command, click.Command):
            raise PluginError(f"{owner}: the command {spec.name!r} must be a click command, got {command!r}")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a miss says which package brings it, or lists the near ones and all others."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            brought = dict(offered(["command"])).get(self._prefix + args[0])
            if brought is not None:
                raise PluginError(f"lfads {self._prefix}{args[0]}: {installed(ctx).who_offers(brought)}")
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            faults = installed(ctx).faults
            broken = f" Not loaded: {'; '.join(map(str, faults))}." if faults else ""
            ctx.fail(f"no command named {args[0]!r}.{hint} Commands: {', '.join(known)}.{broken}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by package, without importing them."""
        own = [(name, command.get_short_help_str(formatter.width)) for name, command in self.commands.items()]
        if own:
            with formatter.section("Commands"):
                formatter.write_dl(own)
        for distribution, commands in self._by_distribution(ctx).items():
            with formatter.section(f"Commands of {distribution}"):
                formatter.write_dl([(name, spec.summary) for name, spec in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names, without importing the commands."""
        helps = {
            **{name: command.get_short_help_str() for name, command in self.commands.items()},
            **{n: s.summary for n, s in self._offered(ctx).items()},
        }
        commands = [CompletionItem(name, help=text) for name, text in helps.items() if name.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move ``--debug`` and ``--plugin-file`` to the front, from anywhere before a ``--``."""
        if self._prefix:
            return super().parse_args(ctx, args)
        front, rest = set_apart(args)
        with spoken_errors(debug="--debug" in front):
            return super().parse_args(ctx, [*front, *rest])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an :class:`~lfads_core.errors.LfadsError` is told in one message."""
        if self._prefix:
            return super().invoke(ctx)
        if not ctx.params.get("debug"):
            with spoken_errors(debug=False):
                return super().invoke(ctx)
        with tracebacks_of_warnings(), spoken_errors(debug=True):
            show_tracebacks(installed(ctx).faults)
            return super().invoke(ctx)
