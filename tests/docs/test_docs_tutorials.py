"""The tutorials are notebooks that run cell by cell in an empty folder, and end with the numbers that they should."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import matplotlib as mpl
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
EACH = pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)


def cells(page: Path) -> list[str]:
    """Text of every cell, without its options."""
    found = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [re.sub(r"^:\w+:.*\n", "", text, flags=re.MULTILINE) for text in found]


def run_cell(text: str, names: dict[str, object]) -> None:
    """What a kernel does with a cell, lines that begin with '!' included."""
    python = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("!lfads "):
            done = CliRunner().invoke(cli, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}"
        elif not line.startswith("!cat "):
            assert not line.startswith(("!", "%")), line
            python.append(line)
    exec(compile("\n".join(python), "cell", "exec"), names)


def test_every_tutorial_is_in_the_list():
    assert {"single", "stitching", "calcium", "emg", "search", "plugin", "lfads_torch", "nwb"} == {page.stem for page in TUTORIALS}
    listed = re.findall(r"\(tutorials/(\w+)\.md\)", (DOCS / "tutorials.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [page.stem for page in TUTORIALS]


@EACH
def test_a_tutorial_shows_a_figure_and_asserts_numbers_out_of_sight(page):
    text, parts = page.read_text(encoding="utf-8"), cells(page)
    assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n")
    assert any(re.search(r"\.plot\.\w+\(", cell.splitlines()[-1]) for cell in parts)
    hidden = re.findall(r":tags: \[remove-cell\]\n(.*?)```", text, flags=re.DOTALL)
    assert sum(cell.count("assert ") for cell in parts) == sum(cell.count("assert ") for cell in hidden) > 0
    for cell in parts:
        assert re.search(r"\.plot\b(?!\.\w+\()", cell) is None  # which shows nothing
        assert [line for line in cell.splitlines() if len(line) > 91] == []  # the page shows no more of one
        compile("\n".join(line for line in cell.replace("\\\n", " ").splitlines() if not line.startswith("!")), str(page), "exec")


@pytest.mark.slow
@pytest.mark.timeout(900)
@EACH
def test_a_tutorial_runs_and_ends_with_the_numbers_it_should(page, tmp_path):
    names: dict[str, object] = {}
    with contextlib.chdir(tmp_path), mpl.rc_context():
        for text in cells(page):
            run_cell(text, names)
