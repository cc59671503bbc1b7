"""The tutorials, followed line by line in an empty folder, end with the numbers that they say."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.plugins.registry import Registry

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
EACH = pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block of code, in order."""
    return re.findall(r"```(\w+)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def settings(page: Path) -> tuple[str, str]:
    """Name and text of the page's file of settings, which may stand behind the command that reads it."""
    (text,) = [text for language, text in blocks(page) if language == "yaml"]
    (name,) = set(re.findall(r"\b\w+\.yaml\b", page.read_text(encoding="utf-8")))
    return name, text


def test_the_five_tutorials_are_there_and_in_the_list():
    assert {page.stem for page in TUTORIALS} == {"single", "stitching", "search", "calcium", "emg"}
    listed = re.findall(r"\(tutorials/(\w+)\.md\)", (DOCS / "tutorials.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [page.stem for page in TUTORIALS]


@EACH
def test_a_tutorial_asserts_numbers_and_its_settings_are_accepted(page, tmp_path):
    assert sum(text.count("assert ") for language, text in blocks(page) if language == "python") >= 1
    name, text = settings(page)
    (tmp_path / name).write_text(text, encoding="utf-8")
    resolve([tmp_path / name], [], [], Registry.from_installed())


@pytest.mark.slow
@pytest.mark.timeout(900)
@EACH
def test_a_tutorial_runs_and_ends_with_the_numbers_it_says(page, tmp_path):
    name, text = settings(page)
    (tmp_path / name).write_text(text, encoding="utf-8")
    names: dict[str, object] = {}
    with contextlib.chdir(tmp_path):
        for language, code in blocks(page):
            if language == "python":
                exec(compile(code, str(page), "exec"), names)
            for line in code.splitlines() if language == "console" else ():
                words = shlex.split(line.removeprefix("$ "))
                assert words[0] == "lfads"
                track = ["--set", "track.mlflow=false"] if words[1] in {"run", "adapt"} or words[1:3] == ["search", "pbt"] else []
                done = CliRunner().invoke(cli, [*words[1:], *track])
                assert done.exit_code == 0, f"{line}\n{done.output}"
