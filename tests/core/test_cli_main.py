"""The `lfads` command as such: errors in one message, exit codes, commands imported only when invoked."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from lfads_core import __version__
from lfads_core.cli.lazy import LazyGroup
from lfads_core.cli.main import cli
from lfads_core.errors import DataError
from lfads_core.plugins import CommandSpec, Registry, hookimpl, load_registry


@click.command()
@click.argument("what")
def raising(what: str) -> None:
    """Raise as told."""
    raise {"user": DataError("a.h5: 'train_encod_data' is missing. Add it."), "ctrl-c": KeyboardInterrupt(), "bug": ZeroDivisionError("ours")}[what]


OFFERED = load_registry().as_offered(CommandSpec)
COMMANDS = {spec.name: spec.summary for spec, _ in OFFERED if " " not in spec.name}
"""Commands of ``lfads`` itself, with their line of help, by package and in the order in which it offers them."""


class Offering:
    """A plugin of two commands, one of which is none."""

    @hookimpl
    def lfads_commands(self):
        yield CommandSpec(name="boom", summary="Raise.", command=raising)
        yield CommandSpec(name="wrong", summary="Not a command.", command=print)
        yield CommandSpec(name="gone", summary="Cannot be imported.", command="nowhere.at_all:command")


@pytest.fixture
def group(monkeypatch):
    registry = Registry.from_plugins({"mine": Offering()})
    monkeypatch.setattr(Registry, "from_installed", lambda: registry)
    return LazyGroup("lfads", params=[click.Option(["--debug"], is_flag=True)], callback=lambda **_: None)


def test_an_error_of_the_user_is_one_message_and_exit_code_2(group):
    result = CliRunner().invoke(group, ["boom", "user"])
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "error: a.h5: 'train_encod_data' is missing. Add it.\n")


@pytest.mark.parametrize("arguments", [["--debug", "boom", "user"], ["boom", "--debug", "user"], ["boom", "user", "--debug"]])
def test_debug_anywhere_keeps_the_traceback(group, arguments):
    result = CliRunner().invoke(group, arguments)
    assert isinstance(result.exception, DataError)


def test_debug_after_a_double_dash_is_an_argument(group):
    result = CliRunner().invoke(group, ["boom", "--", "--debug"])
    assert isinstance(result.exception, KeyError)


def test_ctrl_c_is_exit_code_130(group):
    result = CliRunner().invoke(group, ["boom", "ctrl-c"])
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_bug_keeps_its_traceback_without_debug(group):
    assert isinstance(CliRunner().invoke(group, ["boom", "bug"]).exception, ZeroDivisionError)


def test_a_module_whose_command_is_no_click_command_is_named(group):
    result = CliRunner().invoke(group, ["wrong"])
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: mine 0 (entry point 'mine'): the command 'wrong' must be a click command, got {print!r}\n",
    )


def test_a_command_that_cannot_be_imported_is_one_message_and_spoils_no_help(group):
    assert "Cannot be imported." in CliRunner().invoke(group, ["--help"]).stdout
    result = CliRunner().invoke(group, ["gone"])
    text = "error: mine 0 (entry point 'mine'): the command 'gone' cannot be had: 'nowhere.at_all:command': must be 'module:name' of something "
    assert (result.exit_code, result.stderr) == (2, f"{text}that can be imported, got ModuleNotFoundError: No module named 'nowhere'\n")


def test_an_unknown_command_names_the_near_one_and_all():
    result = CliRunner().invoke(cli, ["rnu"])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: no command named 'rnu'. Did you mean 'run'? Commands: {', '.join(COMMANDS)}."


def test_an_unknown_option_is_a_usage_error():
    result = CliRunner().invoke(cli, ["--verbos"])
    assert result.exit_code == 2
    assert "No such option" in result.stderr  # click's own words, which change with its version


def test_help_lists_every_command_by_package_in_the_order_of_work_with_one_line():
    text = CliRunner().invoke(cli, ["--help"], terminal_width=200).stdout
    packages = list(dict.fromkeys(provider.distribution for spec, provider in OFFERED if " " not in spec.name))
    assert re.findall(r"^Commands of (.*):$", text, flags=re.MULTILINE) == packages
    places = [text.index(f"\n  {name}  ") for name in COMMANDS]
    assert places == sorted(places)
    for line in COMMANDS.values():
        assert line in text


def test_completion_offers_commands_without_importing_them():
    before = set(sys.modules)
    with cli.make_context("lfads", [], resilient_parsing=True) as ctx:
        assert [item.value for item in cli.shell_complete(ctx, "p")] == ["plugins"]
        assert "--debug" in [item.value for item in cli.shell_complete(ctx, "--")]
    assert not {m for m in set(sys.modules) - before if m.startswith("lfads_core.cli.")}


def test_the_version_is_told():
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"lfads, version {__version__}\n"


@pytest.mark.parametrize(("spec", "provider"), OFFERED, ids=[spec.name for spec, _ in OFFERED])
def test_every_command_exists_and_has_help(spec, provider):
    command = spec.command.load()
    assert isinstance(command, click.Command)
    assert command.help


@pytest.mark.parametrize("arguments", [["-m", "lfads_core.cli.main"], ["-m", "lfads_core.cli.main", "plugins", "show", "no-such-thing"]])
def test_the_module_runs_as_a_script(arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(("Usage: lfads", "error: no plugin named 'no-such-thing'."))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads what GNU's OpenMP says of itself")
@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")])
def test_threads_of_torch_sleep_between_operations_unless_the_environment_says_otherwise(given, found, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | {"OMP_DISPLAY_ENV": "true"} | given
    code = "from lfads_core.cli.main import cli; cli(['plugins', 'list'], standalone_mode=False); import torch"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    said = [line.split("=")[1].strip(" '") for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert set(said) == {found}, done.stderr


def test_a_command_of_a_plugin_ends_with_its_own_exit_code_and_shows_its_help(install):
    install(
        "mine",
        """
        import click
        from lfads_core.plugins import CommandSpec, hookimpl

        @click.command()
        @click.pass_context
        def command(ctx):
            "What it does."
            ctx.exit(3)

        @hookimpl
        def lfads_commands():
            return [CommandSpec(name="mine", summary="mine", command=command)]
        """,
    )
    assert (CliRunner().invoke(cli, ["mine"]).exit_code, CliRunner().invoke(cli, ["mine"]).output) == (3, "")
    assert "What it does." in CliRunner().invoke(cli, ["mine", "--help"]).output
