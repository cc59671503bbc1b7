"""The progress display: what it shows, and that nothing about its output stops a training."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from lfads_core.train import progress
from lfads_core.train.progress import Display, clock

ROW = {"train/recon": 0.3, "valid/recon": 0.25, "train/total": 9.0, "lr": 0.004}


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
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
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def train(display: Display, time: Clock, epochs: int, *, total: int, seconds: float, first: int = 0) -> None:
    display.start(total)
    for epoch in range(first, first + epochs):
        time.now += seconds
        display.update(epoch, ROW | ({"valid/bps": 0.5 + epoch / 1000} if epoch % 5 == 4 else {}))
    display.stop()


def test_without_a_terminal_the_first_epochs_the_last_and_one_line_per_ten_seconds_are_printed(time):
    out = io.StringIO()
    train(Display(out), time, 40, total=40, seconds=1.0)
    epochs = [int(line.split()[1].split("/")[0]) for line in out.getvalue().splitlines()]
    assert epochs == [1, 2, 3, 13, 23, 33, 40]


def test_a_plain_line_tells_costs_bits_per_spike_rate_time_and_what_is_left(time):
    out = io.StringIO()
    train(Display(out), time, 5, total=100, seconds=20.0)
    assert out.getvalue().splitlines()[-1] == "epoch 5/100  train 0.3000  valid 0.2500  bits/spike 0.504  lr 4.00e-03  1:40, at most 31:40 left"


def test_a_resumed_training_reckons_what_is_left_from_its_own_epochs(time):
    out = io.StringIO()
    train(Display(out), time, 2, total=100, seconds=10.0, first=90)
    assert out.getvalue().splitlines()[-1].endswith("0:20, at most 1:20 left")


def test_a_limit_on_the_time_bounds_what_is_left(time):
    out = io.StringIO()
    display = Display(out)
    display.start(1000, seconds=60)
    for epoch, left in enumerate(("0:40", "0:20", "0:00")):
        time.now += 20
        display.update(epoch, ROW)
        assert out.getvalue().endswith(f"at most {left} left\n")


def test_a_note_ends_the_line():
    out = io.StringIO()
    display = Display(out)
    display.start(10)
    display.update(0, ROW, "best so far")
    assert out.getvalue().endswith("left  best so far\n")


def test_on_a_terminal_a_table_is_drawn_over_and_messages_stand_above_it(terminal, time):
    display = Display(terminal)
    display.start(10)
    time.now += 2
    display.update(0, ROW)
    display.message("odd [markup] stays")
    display.update(4, ROW | {"valid/co_bps": 0.21}, "best")
    display.stop()
    display.message("afterwards")
    text = terminal.getvalue()
    assert "odd [markup] stays" in text
    last = text.rsplit("\x1b[2K", 1)[1]
    for piece in ("epoch", "train", "valid", "co-bps", "0.210", "5/10", "0.3000", "4.00e-03", "best", "afterwards"):
        assert piece in last
    assert "bits/spike" not in text


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    display = Display(terminal)
    display.start(3)
    display.update(0, ROW)
    assert terminal.getvalue().startswith("epoch 1/3  train 0.3000")


def test_a_terminal_that_hangs_up_makes_the_display_quiet_and_gives_standard_output_back(terminal):
    before = sys.stdout, sys.stderr
    display = Display(terminal)
    display.start(3)
    display.update(0, ROW)
    terminal.hung_up = True
    display.update(1, ROW)
    display.message("nobody hears this")
    display.stop()
    assert (sys.stdout, sys.stderr) == before


def test_a_closed_stream_makes_the_display_quiet():
    out = io.StringIO()
    display = Display(out)
    display.start(3)
    out.close()
    display.update(0, ROW)
    display.message("nobody hears this")
    display.stop()


def test_letters_that_the_output_lacks_make_the_display_quiet():
    class Ascii(io.TextIOWrapper):
        mode = "w"  # as files have it: the check of types asks for it

    display = Display(Ascii(io.BytesIO(), encoding="ascii"))
    display.message("Größe")
    display.update(0, ROW)


PROGRAM = """
from lfads_core.train.progress import Display
display = Display()
display.start(30000)
for epoch in range(3):
    display.update(epoch, {"train/recon": 1.0})
for _ in range(3000):
    display.message("x" * 100)
display.stop()
import os; os._exit(7)
"""


def test_a_reader_that_goes_away_stops_nothing():
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("epoch 1/30000")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which plays a full disk")
def test_a_full_disk_stops_nothing():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3600, "1:00:00"), (86399, "23:59:59")])
def test_times_read_as_clocks_do(seconds, text):
    assert clock(seconds) == text
