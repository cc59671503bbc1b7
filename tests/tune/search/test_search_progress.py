"""What a search shows while it runs."""

from __future__ import annotations

import io

import pytest

from lfads_plugins_tune.search import progress
from lfads_plugins_tune.search.progress import SearchDisplay
from toy_search import Toy


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        self.now += 4.0
        return self.now


class Terminal(io.StringIO):
    """Text that says it is a terminal; it can be hung up."""

    hung_up = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.hung_up:
            raise BrokenPipeError
        return super().write(text)


@pytest.fixture
def shown(toy_search, monkeypatch):
    """``shown(stream)``: a toy search shown there."""
    monkeypatch.setattr(progress, "time", Clock())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")

    def run(stream, **more):
        driver = toy_search("a", Toy(**more))
        driver.display = SearchDisplay(stream)
        driver.display.start(driver.state)
        state = driver.run(lambda: False)
        driver.display.stop()
        return state

    return run


def test_without_a_terminal_each_generation_is_a_line_and_one_stands_between_every_half_minute(shown):
    out = io.StringIO()
    state = shown(out, fate=lambda task, _: "diverged" if (task.member, task.generation) == (1, 2) else "done")
    lines = out.getvalue().splitlines()
    ends = [line for line in lines if line.startswith("generation ")]
    assert [line.split("  ")[0] for line in ends] == [f"generation {i}/4" for i in (1, 2, 3, 4)]
    best = min((r for r in state.history[2].members if r.score is not None), key=lambda r: r.score)
    assert f"best {best.score:.4f} (member {best.member})" in ends[2]
    assert "1 diverged or failed" in ends[2]
    assert ends[-1].endswith("at most 0:00 left")
    assert any(line.startswith("pbt, generation ") for line in lines)


def test_on_a_terminal_members_stand_in_a_table_best_first(shown):
    terminal = Terminal()
    state = shown(terminal)
    last = terminal.getvalue().rsplit("\x1b[2K", 1)[1]
    for piece in ("member", "status", "masked_smooth", "lr", "dropout", "kl_ic", "done"):
        assert piece in last
    best = min(state.members, key=lambda m: m.score)
    assert f"{best.score:.4f}" in terminal.getvalue()


def test_an_output_that_is_hung_up_stops_no_search(shown):
    terminal = Terminal()
    terminal.hung_up = True
    assert shown(terminal).stopped == "epochs"
