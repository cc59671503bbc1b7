"""What a training shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from lfads_core.screen import Screen, plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_SECONDS = 10.0
"""Without a terminal a line appears at most this often, after the first few epochs."""

PLAIN_EPOCHS = 3
"""The first epochs, each of which has its line."""

SHOWN = {
    "train/recon": ("train", "#.4g"),
    "valid/recon": ("valid", "#.4g"),
    "valid/bps": ("bits/spike", ".3f"),
    "valid/co_bps": ("co-bps", ".3f"),
    "lr": ("lr", ".2e"),
}
"""Columns of the log that are shown: how they are called, and how many digits they have."""


class Display:
    """Progress of one training. An output that closes, or takes no more, makes it quiet: it never raises.

    Numbers that are not measured in every epoch stand until they are measured again.
    """

    def __init__(self, stream: TextIO | io.TextIOBase | None = None) -> None:
        self.screen = Screen(stream)
        self._total = 0
        self._seconds: float | None = None
        self._known: dict[str, float] = {}
        self._began = self._last_line = time.monotonic()
        self._first_epoch: int | None = None

    def start(self, total_epochs: int, seconds: float | None = None) -> None:
        """Begin to show epochs out of at most ``total_epochs``, which may take at most ``seconds`` from now."""
        self._total, self._seconds, self._began, self._first_epoch = total_epochs, seconds, time.monotonic(), None
        self.screen.start()

    def update(self, epoch: int, row: Mapping[str, float], note: str = "") -> None:
        """Show the numbers of one epoch, counted from 0, under their names in ``fitlog.csv``; ``note`` is a word on it."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._known.update({key: row[key] for key in SHOWN if key in row})
        self.screen.guard(lambda: self._show(epoch, note))

    def message(self, text: str) -> None:
        """Show a line of its own."""
        self.screen.say(text)

    def stop(self) -> None:
        """Leave the table standing and go on in plain lines."""
        self.screen.stop()

    def _show(self, epoch: int, note: str) -> None:
        now = time.monotonic()
        elapsed, done = now - self._began, epoch + 1 - (self._first_epoch or 0)
        left = elapsed / done * (self._total - epoch - 1)
        if self._seconds is not None:
            left = max(min(left, self._seconds - elapsed), 0.0)
        numbers = {name: format(self._known[key], form) for key, (name, form) in SHOWN.items() if key in self._known}
        if self.screen.is_live:
            cells = {"epoch": f"{epoch + 1}/{self._total}", **numbers, "time": clock(elapsed), "left": f"<{clock(left)}", "": note}
            self.screen.draw(_table(cells, epoch + 1, self._total))
        elif done <= PLAIN_EPOCHS or now - self._last_line >= PLAIN_SECONDS or epoch + 1 >= self._total:
            self._last_line = now
            parts = [f"epoch {epoch + 1}/{self._total}", *(f"{name} {number}" for name, number in numbers.items())]
            self.screen.say("  ".join([*parts, f"{clock(elapsed)}, at most {clock(left)} left", *filter(None, [note])]))


def clock(seconds: float) -> str:
    """Format a time as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _table(cells: Mapping[str, str], done: int, total: int) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    table = plain_table(list(cells), left=[""], whole=cells, faint=True)
    table.add_row(*map(Text, cells.values()))
    return Group(table, ProgressBar(total=total, completed=done, width=60))
