"""Tables fit the window they are drawn in, whole, and say what they have left out."""

from __future__ import annotations

import sys

import pytest
from rich.console import Console

from lfads_core import screen
from lfads_core.screen import plain_table, print_fitting

HEADINGS = ("run", "status", "bits", "rate", "file")
CELLS = {"run": "monday", "status": "done", "bits": "0.251", "rate": "2.4e-06", "file": "a/long/path/to/a/recording.h5"}


def table(kept):
    made = plain_table(list(kept), left=["run", "status", "file"])
    for _ in range(2):
        made.add_row(*(CELLS[heading] for heading in kept))
    return made


def widest(columns):
    """What the columns take, with two spaces between them."""
    return sum(max(len(CELLS[name]), len(name)) for name in columns) + 2 * (len(columns) - 1)


@pytest.mark.parametrize("width", range(10, 80))
def test_a_table_has_as_many_columns_as_fit_whole_and_names_the_rest(monkeypatch, capsys, width):
    monkeypatch.setattr(screen, "open_console", lambda: Console(width=width, file=sys.stdout))
    print_fitting(table, HEADINGS, ["run", "status"], "--json")
    lines = capsys.readouterr().out.splitlines()
    fitting = next((n for n in range(5, 2, -1) if widest(HEADINGS[:n]) <= width), 2)
    shown = " ".join(" ".join(lines).split())
    for i, name in enumerate(HEADINGS[2:], 2):
        assert sum(CELLS[name] in line for line in lines) == (2 if i < fitting else 0)
    left_out = ", ".join(HEADINGS[fitting:])
    assert (f"no room for {left_out}: make the window wider, or use --json" in shown) == bool(left_out)
    assert all(len(line) <= width for line in lines)


def test_what_goes_to_a_file_or_pipe_is_wide_enough_for_tables_and_coloured_nowhere():
    console = screen.open_console()
    assert (console.width, console.is_terminal) == (screen.WIDTH_OF_A_PIPE, False)
