"""An output that is drawn over on a terminal and in a notebook, written line by line elsewhere, and that never stops the work it tells of."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from lfads_core.wording import first_few, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

WIDTH_OF_A_PIPE = 240
"""Signs in a line of what goes to a file or a pipe, which have no width to keep to."""


class Screen:
    """One stream. If it closes, or takes no more, it is quiet from then on: nothing here raises."""

    def __init__(self, stream: TextIO | io.TextIOBase | None = None) -> None:
        self._stream: TextIO | None = cast("TextIO", stream) if stream is not None else sys.stdout
        self._live: Live | _Cell | None = None
        self._notebook = stream is None and in_notebook()

    @property
    def is_live(self) -> bool:
        """Whether something is drawn over."""
        return self._live is not None

    def start(self) -> None:
        """Begin to draw over, where that is possible."""
        self.guard(self._start)

    @property
    def width(self) -> int:
        """Signs in a line of what is drawn over; of plain lines as many as one likes."""
        console = getattr(self._live, "console", None)
        return 250 if console is None else int(console.width)

    def draw(self, what: RenderableType) -> None:
        """Draw over what was drawn before; call it within :meth:`guard`."""
        if self._live is not None:
            self._live.update(what, refresh=True)

    def say(self, text: str) -> None:
        """Write a line of its own, above what is drawn over."""
        self.guard(lambda: self._say(printable(text)))

    def stop(self) -> None:
        """Leave the last drawing standing and go on in plain lines."""
        live, self._live = self._live, None
        if live is not None:
            self.guard(live.stop)

    def guard(self, call: Callable[[], object]) -> None:
        """Carry out a call that writes; if it fails, fall silent."""
        if self._stream is None:
            return
        try:
            call()
        except Exception:  # noqa: BLE001 - a pipe that closed, a full disk, letters the terminal lacks: nothing to stop a training for
            live, self._stream, self._live = self._live, None, None
            if live is not None:
                with contextlib.suppress(Exception):  # it holds standard output until it is told to let go
                    live.stop()

    def _start(self) -> None:
        if self._live is not None or self._stream is None:
            return
        if self._notebook:
            self._live = _Cell()
            return
        if not self._stream.isatty() or os.environ.get("TERM") == "dumb":
            return
        from rich.console import Console
        from rich.live import Live

        class Patient(Console):
            def on_broken_pipe(self) -> None:  # rich would end the process
                raise BrokenPipeError

        # No refreshing thread: what it raised nobody could catch, and an epoch is short.
        live = self._live = Live("starting", console=Patient(file=self._stream), auto_refresh=False)
        live.start(refresh=True)

    def _say(self, text: str) -> None:
        if self._live is not None and not isinstance(self._live, _Cell):
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)


class _Cell:
    """The output of a notebook's cell, one part of which is drawn over; lines stand beside it."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": "starting"}, raw=True, display_id=True)

    def update(self, what: RenderableType, *, refresh: bool) -> None:
        self._handle.update({"text/plain": as_text([what]), "text/html": as_html([what])}, raw=True)

    def stop(self) -> None:
        """Leave the last drawing standing."""


def open_console() -> Console:
    """Standard output as rich writes to it: a terminal as wide as it is, anything else wide enough for tables."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH_OF_A_PIPE)


def plain_table(headings: Sequence[str], *, left: Collection[str] = (), whole: Collection[str] = (), faint: bool = False, **looks: Any) -> Table:
    """A table without lines, for ``add_row``. Columns are to the right but for those named ``left``; cells are folded but for those in ``whole``."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim" if faint else "bold", title_justify="left", caption_justify="left", **looks)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=heading in whole, overflow="fold")
    return table


def print_fitting(table: Callable[[Collection[str]], Table], headings: Sequence[str], least: Collection[str], elsewhere: str) -> None:
    """Print the table of as many of the columns as fit, the last ones left out first but for the ``least``; ``elsewhere`` says where all are."""
    from rich.console import Console

    console, endless, kept = open_console(), Console(width=100_000), list(headings)
    spare = [heading for heading in reversed(headings) if heading not in least]
    while spare and endless.measure(table(kept)).maximum > console.width:
        kept.remove(spare.pop(0))
    console.print(table(kept))
    if left_out := [heading for heading in headings if heading not in kept]:
        console.print(f"no room for {first_few(left_out, 3)}: make the window wider, or use {elsewhere}", style="dim", markup=False)


def in_notebook() -> bool:
    """Whether a kernel runs this process, as in Jupyter: something that draws HTML looks on."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def as_text(parts: Iterable[RenderableType], width: int = 160) -> str:
    """What rich can draw, as plain text."""
    return _recorded(parts, width).export_text()


def as_html(parts: Iterable[RenderableType], width: int = 160) -> str:
    """What rich can draw, as a piece of HTML for a notebook: sentences wrap, tables scroll where they are too wide."""
    return f'<div style="overflow-x:auto">{"".join(_block(part, width) for part in parts)}</div>'


def _block(part: RenderableType, width: int) -> str:
    from rich.text import Text

    wraps = "pre-wrap" if isinstance(part, str | Text) else "pre"
    style = f"white-space:{wraps};margin:0;padding:0;line-height:normal;font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace"
    drawn = _recorded([part], width).export_html(inline_styles=True, code_format="{code}")
    return f'<pre style="{style}">{drawn if drawn.strip() else " "}</pre>'


def _recorded(parts: Iterable[RenderableType], width: int) -> Console:
    """A console that has drawn these and shown them nowhere, which rich would do by itself in a notebook."""
    from rich.console import Console

    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=False, force_jupyter=False, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=True)
    return console
