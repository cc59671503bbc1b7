"""An output that is drawn over on a terminal and written line by line elsewhere, and that never stops the work it tells of."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, cast

from lfads_core.wording import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class Screen:
    """One stream. If it closes, or takes no more, it is quiet from then on: nothing here raises."""

    def __init__(self, stream: TextIO | io.TextIOBase | None = None) -> None:
        self._stream: TextIO | None = cast("TextIO", stream) if stream is not None else sys.stdout
        self._live: Live | None = None

    @property
    def is_live(self) -> bool:
        """Whether something is drawn over."""
        return self._live is not None

    def start(self) -> None:
        """Begin to draw over, where that is possible."""
        self.guard(self._start)

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
        if self._live is not None or self._stream is None or not self._stream.isatty() or os.environ.get("TERM") == "dumb":
            return
        from rich.console import Console
        from rich.live import Live

        class Patient(Console):
            def on_broken_pipe(self) -> None:  # rich would end the process
                raise BrokenPipeError

        # No refreshing thread: what it raised nobody could catch, and an epoch is short.
        self._live = Live("starting", console=Patient(file=self._stream), auto_refresh=False)
        self._live.start(refresh=True)

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)
