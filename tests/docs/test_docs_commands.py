"""Every command that the documentation shows is one that the command line takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from command_lines import parsed
from lfads_core.cli.reference import command_contexts, reference_page
from lfads_core.config.explain import explain
from lfads_core.config.load import resolve
from lfads_core.plugins.registry import Registry
from plugins_page import PLUGINS, registry_with

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/hooks/*.md"), *ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("lfads_*/README.md")]
)
REGISTRY = Registry.from_installed()
WITH_EXAMPLES = registry_with(*PLUGINS)
"""What is there once somebody has installed the examples of plugins.md, which its commands name."""


def shown() -> Iterator[tuple[str, str]]:
    """Page and line of every ``lfads`` command in a block of commands."""
    for page in PAGES:
        for language, block in re.findall(r"```(console|sh)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            for line in block.splitlines():
                if language == "sh" or line.startswith("$ "):
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    words = words[next((i for i, word in enumerate(words) if not re.match(r"\w+=", word)), 0) :]
                    if words[:1] == ["lfads"]:
                        yield str(page.relative_to(ROOT)), shlex.join(words)


SHOWN = sorted(set(shown()))


def test_there_are_commands_to_check():
    assert len(SHOWN) > 40


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=[f"{page}: {line}" for page, line in SHOWN])
def test_every_command_shown_is_accepted(page, line, monkeypatch):
    registry = WITH_EXAMPLES if page == "docs/plugins.md" or page.startswith("docs/hooks/") else REGISTRY
    monkeypatch.setattr(Registry, "from_installed", lambda: registry)
    command, params = parsed(line)
    if page == "README.md":  # it uses the name of a plugin that it shows how to write
        return
    if {"plugins", "overrides"} <= params.keys() and not params.get("resume"):
        resolve([], params["plugins"], params["overrides"], registry, defaults={"search": {}})
    if command.name == "explain" and params:
        assert explain(params["key"], registry)
    if command.name == "show" and params.get("name"):
        assert any(entry.spec.name == params["name"] for entry in registry.entries)


def test_a_wrong_option_would_be_noticed():
    with pytest.raises(click.UsageError, match="No such option"):
        parsed("lfads run data.h5 --rounds 3")


def test_every_command_and_option_is_on_the_page_of_commands():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    contexts = list(command_contexts())
    assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == [context.command_path for context in contexts]
    for context in contexts:
        section = page.split(f"\n## {context.command_path}\n", 1)[1].split("\n## ", 1)[0]
        for parameter in context.command.get_params(context):
            if isinstance(parameter, click.Option):
                assert all(option in section for option in parameter.opts), (context.command_path, parameter.opts)


@pytest.mark.skipif(
    f"click=={version('click')}" not in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines(),
    reason="help is laid out by click, and docs/cli.md by its version in constraints.txt",
)
def test_the_page_of_commands_is_what_help_says_now():
    # In a process of its own: click remembers how a command's help option was called when it was first asked.
    done = subprocess.run([sys.executable, "-m", "lfads_core.cli.reference"], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stderr == ""
    assert done.stdout == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "run: python -m lfads_core.cli.reference > docs/cli.md"


def test_the_page_of_commands_has_no_line_that_ends_in_spaces_and_one_newline_at_its_end():
    page = reference_page()
    assert [line for line in page.splitlines() if line != line.rstrip()] == []
    assert page.endswith("```\n")
    assert not page.endswith("\n\n")
