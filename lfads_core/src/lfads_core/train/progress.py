"""What a training shows while it runs: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

PLAIN_SECONDS = 10.0
"""Without a terminal a line appears at most this often, after the first few epochs."""

SHOWN = {"train/recon": "train", "valid/recon": "valid", "valid/bps": "bits/spike", "valid/co_bps": "co-bps", "lr": "lr"}
"""Columns of the log that are shown, and how they are called."""


class Display:
    """Progress of one training. A closed or full output makes it quiet; it never raises."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.total = 0
        self.known: dict[str, float] = {}
        self.began = self.last_line = time.monotonic()
        self.first_epoch: int | None = None
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def start(self, total_epochs: int) -> None:
        """Begin to show epochs out of ``total_epochs``."""
        self.total, self.began = total_epochs, time.monotonic()
        if not self.stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"), BarColumn(bar_width=20), TextColumn("{task.description}"))
        self._bar = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=Console(file=self.stream))
        self._task = self._bar.add_task("starting", total=total_epochs)
        self._bar.start()

    def update(self, epoch: int, row: Mapping[str, float]) -> None:
        """Show one epoch's numbers."""
        if self.first_epoch is None:
            self.first_epoch = epoch
        self.known.update({key: row[key] for key in SHOWN if key in row})
        text = "  ".join(f"{name} {self.known[key]:.4g}" for key, name in SHOWN.items() if key in self.known)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=epoch + 1, description=text)
            return
        now = time.monotonic()
        if epoch - self.first_epoch < 3 or now - self.last_line >= PLAIN_SECONDS or epoch + 1 == self.total:
            self.last_line = now
            left = (now - self.began) / (epoch + 1 - self.first_epoch) * (self.total - epoch - 1)
            self._print(f"epoch {epoch + 1}/{self.total}  {text}  {now - self.began:.0f} s, at most {left:.0f} s left")

    def message(self, text: str) -> None:
        """Show a line of its own."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._print(text)

    def stop(self) -> None:
        """Leave the live line standing and go on in plain lines."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print(self, text: str) -> None:
        try:
            print(text, file=self.stream, flush=True)
        except (OSError, ValueError):  # a pipe that closed, a disk that is full: nobody listens
            self.stream = _Nowhere()


class _Nowhere(io.TextIOBase):
    """Takes text and forgets it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False
